"""Shared: what many ask of REST at the same moment is worked out once, and told to all of them.

Whoever watches a study asks the same again and again, and every answer takes time from the trials on this machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convscout.services.server.auth.requests import changes, header, is_api

MOMENT_S = 1.5  # longer than between two glances of a feed, which forgets what has changed
_MOST_BYTES = 1_000_000  # of an answer that is kept
_SHARED = (HTTPStatus.OK, HTTPStatus.NOT_MODIFIED)


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    route: Any  # by which it was found, for whoever counts

    async def send(self, scope: Scope, send: Send) -> None:
        scope["route"] = self.route
        start = {"type": "http.response.start", "status": self.status, "headers": list(self.headers)}
        await send(start)
        await send({"type": "http.response.body", "body": self.body})


class SharedAnswers:
    """The answers of the last moment by what was asked; one that is still being worked out is a future."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answers: dict[Hashable, tuple[float, asyncio.Future[_Answer | None]]] = {}

    def get(self, key: Hashable) -> asyncio.Future[_Answer | None] | None:
        """The answer that was begun less than a moment ago. It comes to None where it cannot be shared."""
        self._drop(self._clock() - MOMENT_S)
        found = self._answers.get(key)
        return found[1] if found else None

    def put(self, key: Hashable) -> asyncio.Future[_Answer | None]:
        """The place of an answer that is begun now."""
        future = asyncio.get_running_loop().create_future()
        self._answers[key] = (self._clock(), future)
        return future

    def forget(self) -> None:
        """Something has happened: from now on everything is worked out anew."""
        self._answers.clear()

    def _drop(self, before_s: float) -> None:
        while self._answers and (oldest := next(iter(self._answers))) and self._answers[oldest][0] < before_s:
            del self._answers[oldest]


class Shared:
    """Gives a small JSON answer of REST to all who ask the same within a moment, unless something was changed.

    It comes after the guards: who asks has been admitted, and no answer of REST depends on who that is.
    """

    def __init__(self, app: ASGIApp, answers: SharedAnswers) -> None:
        self._app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif changes(scope):
            try:
                await self._app(scope, receive, send)
            finally:
                self._answers.forget()
        elif (key := _key(scope)) is None:
            await self._app(scope, receive, send)
        elif found := self._answers.get(key):
            answer = found.result() if found.done() else await asyncio.shield(found)
            await (answer.send(scope, send) if answer else self._app(scope, receive, send))
        else:
            await self._first(self._answers.put(key), scope, receive, send)

    async def _first(
        self, future: asyncio.Future[_Answer | None], scope: Scope, receive: Receive, send: Send
    ) -> None:
        start: Message | None = None

        async def noting(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = {**message, "headers": list(message["headers"])}  # as it is before others add to it
            if not future.done():
                if start is None or not _is_shared(start):
                    future.set_result(None)
                elif message["type"] == "http.response.body":
                    future.set_result(_whole(start, message, scope))
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            if not future.done():
                future.set_result(None)


def _key(scope: Scope) -> Hashable | None:
    """What is asked, or None where no other request asks the same."""
    if scope["method"] != "GET" or not is_api(scope):
        return None
    if header(scope, b"content-length") or header(scope, b"transfer-encoding"):
        return None
    return scope["path"], scope["query_string"], header(scope, b"if-none-match")


def _is_shared(start: Message) -> bool:
    kinds = [value for name, value in start["headers"] if name.lower() == b"content-type"]
    return start["status"] in _SHARED and all(kind.startswith(b"application/json") for kind in kinds)


def _whole(start: Message, body: Message, scope: Scope) -> _Answer | None:
    """The answer, unless more is to come or it is a large one."""
    content = bytes(body.get("body", b""))
    if body.get("more_body") or len(content) > _MOST_BYTES:
        return None
    return _Answer(start["status"], tuple(start["headers"]), content, scope.get("route"))
