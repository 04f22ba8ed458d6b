"""Reading requests within limits: the bytes of one picture, or of several, and their pixels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import NamedTuple

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from convscout.search_space.errors import DataError
from convscout.services.export.onnx_model import ExportedModel
from convscout.services.http.problems import HTTPProblem
from convscout.services.inference.images import read_bytes
from convscout.services.model_server.limits import FORM_BYTES, ServingLimits
from convscout.trials.data.splits import Pixels

FORM = "multipart/form-data"


class Upload(NamedTuple):
    """The bytes of a picture and the name that its file had, perhaps none."""

    name: str
    content: bytes


async def read_one(request: Request, limits: ServingLimits) -> bytes:
    """The picture of ``request``: its body, or the only file of its form. Raises ``HTTPProblem``."""
    if not _is_form(request):
        return await _body(request, limits)
    most = limits.picture_bytes + FORM_BYTES
    async with _files(request, limits, most) as files:
        if len(files) != 1:
            rule = "must be one file; several go to /predict/batch"
            raise HTTPProblem.of(HTTPStatus.BAD_REQUEST, "files", len(files), rule)
        return (await _upload(files[0], limits)).content


async def read_all(request: Request, limits: ServingLimits) -> list[Upload]:
    """The pictures of the form in ``request``; one that is too large is cut short by a byte. Raises ``HTTPProblem``."""
    if not _is_form(request):
        given = request.headers.get("content-type", "")
        raise HTTPProblem.of(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Type", given, f"must be {FORM}")
    async with _files(request, limits, limits.request_bytes) as files:
        if not files:
            raise HTTPProblem.of(HTTPStatus.BAD_REQUEST, "files", 0, "must be at least one file")
        if len(files) > limits.pictures:
            raise _too_many(limits, len(files))
        return [Upload(file.filename or "", await file.read(limits.picture_bytes + 1)) for file in files]


def decode(content: bytes, model: ExportedModel, limits: ServingLimits) -> Pixels:
    """The pixels (H, W, C) of a picture's file, as ``model`` wants them.

    Raises ``HTTPProblem`` where it is none that can be read.
    """
    check_size(content, limits)
    try:
        return read_bytes(content, model.image_size, model.in_channels, white=model.white)
    except DataError as error:
        given = f"{len(content)} bytes"
        raise HTTPProblem.of(
            HTTPStatus.UNPROCESSABLE_ENTITY, "picture", given, f"{error.message}; send a picture"
        ) from None


def check_size(content: bytes, limits: ServingLimits) -> None:
    """Raises ``HTTPProblem`` for a picture without bytes, or with too many."""
    if not content:
        rule = "must be the bytes of a PNG, JPEG, WebP or BMP file"
        raise HTTPProblem.of(HTTPStatus.UNPROCESSABLE_ENTITY, "picture", "0 bytes", rule)
    if len(content) > limits.picture_bytes:
        raise _too_large("picture", f"more than {limits.picture_bytes} bytes", limits.picture_bytes)


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


async def _body(request: Request, limits: ServingLimits) -> bytes:
    async with _time_out(limits):
        content = await _limit(request, limits.picture_bytes, "picture").body()
    check_size(content, limits)
    return content


@asynccontextmanager
async def _files(request: Request, limits: ServingLimits, most: int) -> AsyncIterator[list[UploadFile]]:
    """The files of a form of no more than ``most`` bytes."""
    limited = _limit(request, most, "body")
    async with _time_out(limits):
        try:
            form = await limited.form(max_files=limits.pictures, max_fields=limits.pictures)
        except HTTPException as error:
            if error.detail.startswith("Too many files"):
                raise _too_many(limits, f"more than {limits.pictures}") from None
            raise HTTPProblem.of(HTTPStatus.BAD_REQUEST, "body", FORM, error.detail) from None
    try:
        yield [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
    finally:
        await form.close()


def _limit(request: Request, most: int, name: str) -> Request:
    """``request``, whose body is refused as soon as it is longer than ``most`` bytes."""
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > most:
        raise _too_large(name, f"{length} bytes", most)
    return Request(request.scope, _count(request.receive, most, name))


def _count(receive: Receive, most: int, name: str) -> Receive:
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise _too_large(name, f"more than {most} bytes", most)
        return message

    return counted


@asynccontextmanager
async def _time_out(limits: ServingLimits) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(limits.timeout_s):
            yield
    except TimeoutError:
        rule = f"must arrive within {limits.timeout_s:g} s"
        raise HTTPProblem.of(HTTPStatus.REQUEST_TIMEOUT, "body", "incomplete", rule) from None


async def _upload(file: UploadFile, limits: ServingLimits) -> Upload:
    upload = Upload(file.filename or "", await file.read(limits.picture_bytes + 1))
    check_size(upload.content, limits)
    return upload


def _too_large(name: str, value: str, most: int) -> HTTPProblem:
    rule = f"must have {most / 1e6:g} MB at most"
    return HTTPProblem.of(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, name, value, rule)


def _too_many(limits: ServingLimits, given: object) -> HTTPProblem:
    rule = f"must be {limits.pictures} at most; send the others in another request"
    return HTTPProblem.of(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "files", given, rule)
