"""What every request passes: it is counted and timed, its token is checked, and no error leaves as a traceback."""

from __future__ import annotations

import hmac
import sys
import time
from collections.abc import Collection
from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.serving.metrics import Metrics
from services.serving.problems import Refusal

_GONE = "gone"  # in place of a status, for who left before there was one
_OTHER = "other"  # one label for every path that there is not: clients must not make up time series
OPEN = "/healthz"  # a supervisor asks it without a token


class Measured:
    """Counts and times requests by route, and answers an unexpected error with a problem of status 500."""

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: Collection[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = frozenset(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route, began, status = self._route(scope), time.perf_counter(), 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Content-Type-Options"] = "nosniff"
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except ClientDisconnect:
            pass  # nobody is there to be answered
        except Exception as error:  # whatever it is, the client gets no traceback and the server goes on
            print(f"error: {route}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            if not status:
                refusal = Refusal(
                    HTTPStatus.INTERNAL_SERVER_ERROR, detail="the server failed; its log says how"
                )
                await refusal.response()(scope, receive, noting)
        finally:
            self._metrics.requests.labels(route, str(status or _GONE)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - began)

    def _route(self, scope: Scope) -> str:
        path: str = scope["path"]
        return path if path in self._routes else _OTHER


class Guarded:
    """Lets pass who says ``Authorization: Bearer TOKEN``."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != OPEN and not self._known(Request(scope)):
            refusal = Refusal.of(
                HTTPStatus.UNAUTHORIZED,
                "Authorization",
                "another token or none",
                "must be Bearer and the token of this server",
                WWW_Authenticate="Bearer",
                Connection="close",
            )
            await refusal.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _known(self, request: Request) -> bool:
        scheme, _, said = request.headers.get("authorization", "").partition(" ")
        # in a time that does not tell how much of it is right
        return hmac.compare_digest(said.strip().encode(), self._token) and scheme.lower() == "bearer"
