"""Csrf: what a browser's cookie may change, a page of this very session must have asked for."""

from __future__ import annotations

import hmac
from http import HTTPStatus
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convscout.services.http.problems import HTTPProblem
from convscout.services.server.auth.actor import csrf_of
from convscout.services.server.auth.requests import changes, header, is_open
from convscout.services.server.errors import answer, refusal_of
from convscout.services.server.middleware.same_origin import comes_from_here
from convscout.services.tracking.urls import MLFLOW

FIELD = "csrf"
HEADER = "X-CSRF-Token"
FORM = "application/x-www-form-urlencoded"


class Csrf:
    """Asks requests of a session that change something for its value, in a header or in a plain form's field.

    A form's body is read for it and handed on; what is uploaded streams past, so scripts send it with the header.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and changes(scope) and not is_open(scope) and (value := csrf_of(scope)):
            try:
                receive = await _check(scope, receive, value)
            except (HTTPProblem, HTTPException) as error:
                await answer(scope, refusal_of(error))(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _check(scope: Scope, receive: Receive, value: str) -> Receive:
    """What the request is received with from here on. Raises ``HTTPProblem`` where it does not know ``value``."""
    said = header(scope, HEADER.lower().encode())
    # MLflow's pages do not know our value; the browser vouches for them, by headers that no other site can send
    if scope["path"].startswith(f"{MLFLOW}/") and comes_from_here(scope):
        return receive
    if not said and header(scope, b"content-type").partition(";")[0].strip().lower() == FORM:
        body = await _read(receive)
        said = parse_qs(body.decode("latin-1")).get(FIELD, [""])[0]
        receive = _again(body, receive)
    if not hmac.compare_digest(said.encode("utf-8", "replace"), value.encode()):
        raise HTTPProblem.of(
            HTTPStatus.FORBIDDEN,
            HEADER,
            "another value or none",
            f"must be the value that the page holds, or the field {FIELD} of its form; load the page again",
        )
    return receive


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """Receives ``body`` once more, then what comes after it."""
    first = True

    async def receiving() -> Message:
        nonlocal first
        if not first:
            return await receive()
        first = False
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving
