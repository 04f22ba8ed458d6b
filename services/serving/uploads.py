"""Reading requests within limits: the bytes of one picture, or of several, and their pixels."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from search_space.errors import DataError
from services.http.problems import Refusal
from services.serving.limits import FORM_BYTES, Limits
from trials.image_files import read_pixels
from trials.splits import Pixels

FORM = "multipart/form-data"


class Upload(NamedTuple):
    """The bytes of a picture and the name that its file had, perhaps none."""

    name: str
    content: bytes


async def read_one(request: Request, limits: Limits) -> bytes:
    """The picture of ``request``: its body, or the only file of its form. Raises ``Refusal``."""
    if not _is_form(request):
        return await _body(request, limits)
    most = limits.picture_bytes + FORM_BYTES
    async with _files(request, limits, most) as files:
        if len(files) != 1:
            rule = "must be one file; several go to /predict/batch"
            raise Refusal.of(HTTPStatus.BAD_REQUEST, "files", len(files), rule)
        return (await _upload(files[0], limits)).content


async def read_all(request: Request, limits: Limits) -> list[Upload]:
    """The pictures of the form in ``request``; one that is too large is cut short by a byte. Raises ``Refusal``."""
    if not _is_form(request):
        given = request.headers.get("content-type", "")
        raise Refusal.of(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Type", given, f"must be {FORM}")
    async with _files(request, limits, limits.request_bytes) as files:
        if not files:
            raise Refusal.of(HTTPStatus.BAD_REQUEST, "files", 0, "must be at least one file")
        if len(files) > limits.pictures:
            raise _too_many(limits, len(files))
        return [Upload(file.filename or "", await file.read(limits.picture_bytes + 1)) for file in files]


def decoded(content: bytes, size: int, channels: int, limits: Limits) -> Pixels:
    """The pixels (size, size, channels) of a picture's file. Raises ``Refusal`` where it is none that can be read."""
    check_size(content, limits)
    with tempfile.NamedTemporaryFile(prefix="convscout-") as file:
        file.write(content)
        file.flush()
        try:
            return read_pixels(Path(file.name), size, channels)
        except DataError as error:
            given = f"{len(content)} bytes"
            raise Refusal.of(
                HTTPStatus.UNPROCESSABLE_ENTITY, "picture", given, f"{error.message}; send a picture"
            ) from None


def check_size(content: bytes, limits: Limits) -> None:
    """Raises ``Refusal`` for a picture without bytes, or with too many."""
    if not content:
        rule = "must be the bytes of a PNG, JPEG, WebP or BMP file"
        raise Refusal.of(HTTPStatus.UNPROCESSABLE_ENTITY, "picture", "0 bytes", rule)
    if len(content) > limits.picture_bytes:
        raise _too_large("picture", f"more than {limits.picture_bytes} bytes", limits.picture_bytes)


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


async def _body(request: Request, limits: Limits) -> bytes:
    async with _timed(limits):
        content = await _limited(request, limits.picture_bytes, "picture").body()
    check_size(content, limits)
    return content


@asynccontextmanager
async def _files(request: Request, limits: Limits, most: int) -> AsyncIterator[list[UploadFile]]:
    """The files of a form of no more than ``most`` bytes."""
    limited = _limited(request, most, "body")
    async with _timed(limits):
        try:
            form = await limited.form(max_files=limits.pictures, max_fields=limits.pictures)
        except HTTPException as error:
            if error.detail.startswith("Too many files"):
                raise _too_many(limits, f"more than {limits.pictures}") from None
            raise Refusal.of(HTTPStatus.BAD_REQUEST, "body", FORM, error.detail) from None
    try:
        yield [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
    finally:
        await form.close()


def _limited(request: Request, most: int, name: str) -> Request:
    """``request``, whose body is refused as soon as it is longer than ``most`` bytes."""
    said = request.headers.get("content-length", "0")
    if said.isdecimal() and int(said) > most:
        raise _too_large(name, f"{said} bytes", most)
    return Request(request.scope, _counted(request.receive, most, name))


def _counted(receive: Receive, most: int, name: str) -> Receive:
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
async def _timed(limits: Limits) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(limits.timeout_s):
            yield
    except TimeoutError:
        rule = f"must arrive within {limits.timeout_s:g} s"
        raise Refusal.of(HTTPStatus.REQUEST_TIMEOUT, "body", "incomplete", rule) from None


async def _upload(file: UploadFile, limits: Limits) -> Upload:
    upload = Upload(file.filename or "", await file.read(limits.picture_bytes + 1))
    check_size(upload.content, limits)
    return upload


def _too_large(name: str, value: str, most: int) -> Refusal:
    rule = f"must have {most / 1e6:g} MB at most"
    return Refusal.of(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, name, value, rule)


def _too_many(limits: Limits, given: object) -> Refusal:
    rule = f"must be {limits.pictures} at most; send the others in another request"
    return Refusal.of(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "files", given, rule)
