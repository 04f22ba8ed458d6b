"""Guarded: who asks the model server must know its token."""

from __future__ import annotations

import hmac
from http import HTTPStatus

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from convscout.services.http.problems import HTTPProblem

OPEN = "/healthz"  # a supervisor asks it without a token


class Guarded:
    """Lets pass who says ``Authorization: Bearer TOKEN``."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != OPEN and not self._known(Request(scope)):
            refusal = HTTPProblem.of(
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
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        # in a time that does not tell how much of it is right
        return hmac.compare_digest(token.strip().encode(), self._token) and scheme.lower() == "bearer"
