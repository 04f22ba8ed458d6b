"""Measured: every request is counted and timed by its route, and no error leaves as a traceback."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from http import HTTPStatus

from anyio import BrokenResourceError
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convscout.services.http.metrics import RequestMetrics
from convscout.services.http.problems import HTTPProblem

_log = logging.getLogger(__name__)
_NO_GUESSING = (b"x-content-type-options", b"nosniff")
_GONE = "gone"  # in place of a status, for who left before there was one
_OTHER = "other"  # one label for every path that there is not: clients must not make up time series


class Measured:
    """Counts and times requests by route, and answers an unexpected error with a problem of status 500.

    ``answer`` says how a refusal is told to who asked, unless it is as problem+json.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: RequestMetrics,
        answer: Callable[[Scope, HTTPProblem], Response] = lambda scope, refusal: refusal.response(),
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if all(name.lower() != _NO_GUESSING[0] for name, _ in message["headers"]):
                    message["headers"] = [*message["headers"], _NO_GUESSING]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:  # whatever it is, the client gets no traceback and the server goes on
            if _has_left(error):
                return  # nobody is there to be answered
            _log.error("%s: %s: %s", route_of(scope), type(error).__name__, error)
            if not status:
                refusal = HTTPProblem(
                    HTTPStatus.INTERNAL_SERVER_ERROR, detail="the server failed; its log says how"
                )
                await self._answer(scope, refusal)(scope, receive, noting)
        finally:
            self._metrics.answered(route_of(scope), str(status or _GONE), time.perf_counter() - began)


def _has_left(error: Exception) -> bool:
    """Whether nothing else is wrong than that the client has gone, perhaps from the middle of a stream."""
    kinds = (ClientDisconnect, BrokenResourceError)
    if isinstance(error, ExceptionGroup):
        return error.split(kinds)[1] is None
    return isinstance(error, kinds)


def route_of(scope: Scope) -> str:
    """The path of the route that a request took, as it was declared; known once it has been taken."""
    return getattr(scope.get("route"), "path", _OTHER)
