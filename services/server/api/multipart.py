"""Uploading: from a request that carries a file, in a form or as its body, to the disk, never held in memory whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from convscout.services.control.datasets.intake import Receiver
from convscout.services.http.problems import HTTPProblem
from convscout.services.model_server.uploads import FORM

BODIES = ("application/zip", "application/x-zip-compressed", "application/x-npz", "application/octet-stream")
FORM_BYTES = 64 * 1024  # what names and boundaries of a form may add to its file
_LONGEST_FIELD = 256  # bytes
SILENCE_S = 30.0  # after which an upload that brings nothing is over


async def receive(request: Request, receiver: Receiver, given: str, named: Callable[[str], None]) -> str:
    """Write the file of ``request`` to ``receiver``; returns the name that the dataset shall have.

    That is ``given`` in the address, or else in the form. ``named`` hears it as soon as it is known, and may refuse
    it. Raises ``HTTPProblem``.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    media = kind.decode("latin-1")
    if media not in (FORM, *BODIES):
        rule = f"must be {FORM} or one of {', '.join(BODIES)}"
        raise HTTPProblem.of(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Type", media, rule)
    length = request.headers.get("content-length", "0")
    if length.isdecimal():
        receiver.refuse_more(int(length) - (FORM_BYTES if media == FORM else 0))
    if given:
        named(given)
    if media != FORM:
        await _body(request, receiver, given)
        return given
    form = _Form(options.get(b"boundary", b""), receiver, named)
    async for chunk in _chunks(request):
        await asyncio.to_thread(form.write, chunk)
    return form.finish(given)


async def _body(request: Request, receiver: Receiver, name: str) -> None:
    if not name:
        rule = "must be given in the address: ?name=flowers"
        raise HTTPProblem.of(HTTPStatus.UNPROCESSABLE_ENTITY, "name", None, rule)
    async for chunk in _chunks(request):
        await asyncio.to_thread(receiver.write, chunk)


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(SILENCE_S):
                chunk = await anext(stream, None)
        except TimeoutError:
            rule = f"must bring something at least every {SILENCE_S:g} s"
            raise HTTPProblem.of(HTTPStatus.REQUEST_TIMEOUT, "body", "incomplete", rule) from None
        if chunk is None:
            return
        if chunk:
            yield chunk


class _Form:
    """A form with a field ``name`` and a file ``file``, in either order; other fields are passed over."""

    def __init__(self, boundary: bytes, receiver: Receiver, named: Callable[[str], None]) -> None:
        self._receiver, self._named = receiver, named
        self._header = self._value = b""
        self._field, self._name = "", b""
        self._files, self._other, self._ended = 0, 0, False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._add_header,
                    "on_header_value": self._add_value,
                    "on_header_end": self._end_header,
                    "on_part_data": self._add_data,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise _unreadable(str(error)) from None

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the form. Raises ``HTTPProblem``."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _unreadable(str(error)) from None

    def finish(self, given: str) -> str:
        """The name of the dataset, of the form or as ``given`` in the address. Raises ``HTTPProblem``."""
        if not self._ended:
            raise _unreadable("it ends too early")
        if self._files != 1:
            rule = "must be one file, in a field called file"
            raise HTTPProblem.of(HTTPStatus.UNPROCESSABLE_ENTITY, "file", self._files, rule)
        name = self._name.decode("utf-8", "replace") or given
        if not name:
            rule = "must be given, in a field called name"
            raise HTTPProblem.of(HTTPStatus.UNPROCESSABLE_ENTITY, "name", None, rule)
        return name

    def _begin_part(self) -> None:
        self._field, self._header, self._value = "", b"", b""

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            options = parse_options_header(self._value)[1]
            self._field = options.get(b"name", b"").decode("latin-1")
            self._files += self._field == "file"
        self._header = self._value = b""

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._field == "file":
            self._receiver.write(data[start:end])
            return
        self._other += end - start
        if self._other > FORM_BYTES:
            raise _unreadable("its fields are too long")
        if self._field == "name":
            self._name = (self._name + data[start:end])[:_LONGEST_FIELD]

    def _end_part(self) -> None:
        if self._field == "name":
            self._named(self._name.decode("utf-8", "replace"))

    def _end(self) -> None:
        self._ended = True


def _unreadable(reason: str) -> HTTPProblem:
    return HTTPProblem.of(HTTPStatus.BAD_REQUEST, "body", FORM, f"cannot be read as a form: {reason}")
