"""Admitted: who did not sign in sees the sign-in page, and a program is told to send the token."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from convscout.services.http.problems import HTTPProblem
from convscout.services.server.auth.actor import actor_of
from convscout.services.server.auth.requests import SIGN_IN, changes, header, is_api, is_open
from convscout.services.server.errors import answer


class Admitted:
    """Lets pass whoever was identified, and everybody to what is open to all."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not is_open(scope) and actor_of(scope) is None:
            await _refuse(scope)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _refuse(scope: Scope) -> Response:
    if is_api(scope) or header(scope, b"sec-fetch-mode") not in ("", "navigate"):
        return answer(scope, unauthorized())
    if changes(scope):
        return RedirectResponse(SIGN_IN, HTTPStatus.SEE_OTHER)
    query = scope["query_string"].decode("latin-1")
    wanted = quote(scope["path"]) + (f"?{query}" if query else "")
    return RedirectResponse(f"{SIGN_IN}?next={quote(wanted, safe='')}", HTTPStatus.SEE_OTHER)


def unauthorized() -> HTTPProblem:
    """The refusal of who said no token, or another one."""
    return HTTPProblem.of(
        HTTPStatus.UNAUTHORIZED,
        "Authorization",
        "another token or none",
        "must be Bearer and the token of this service, or the cookie of a browser that signed in",
        WWW_Authenticate="Bearer",
    )
