"""Bodies: what is sent is small, soon here, and of a kind that the route declares, unless the route sees to that."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import TypeVar

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convscout.services.http.problems import HTTPProblem
from convscout.services.server.auth.requests import header

BODY_BYTES = 1_000_000
BODY_S = 30.0
_JSON = "application/json"
_MARK = "bounds_its_body"

Endpoint = TypeVar("Endpoint", bound=Callable[..., object])


def bounds_its_body(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint, or a mounted application, as one that itself bounds what it reads, and for how long."""
    setattr(endpoint, _MARK, True)
    return endpoint


class Bodies:
    """Counts and times a body while the route that was taken reads it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, _bound(scope, receive) if scope["type"] == "http" else receive, send)


def _bound(scope: Scope, receive: Receive) -> Receive:
    left, whole, deadline_s = BODY_BYTES, False, math.inf

    async def receiving() -> Message:
        nonlocal left, whole, deadline_s
        if whole or getattr(scope.get("endpoint"), _MARK, False):
            return await receive()
        if _announced_bytes(scope) > BODY_BYTES:
            raise _as_http(too_large())
        try:
            deadline_s = min(deadline_s, time.monotonic() + BODY_S)  # from when it is first waited for
            message = await asyncio.wait_for(receive(), deadline_s - time.monotonic())
        except TimeoutError:
            raise _as_http(_too_slow()) from None
        left -= len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if left < 0:
            raise _as_http(too_large())
        return message

    return receiving


def too_large() -> HTTPProblem:
    """The refusal of a body with too many bytes."""
    rule = f"must have at most {BODY_BYTES} bytes"
    return HTTPProblem.of(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body", "more", rule)


def _too_slow() -> HTTPProblem:
    return HTTPProblem.of(HTTPStatus.REQUEST_TIMEOUT, "body", "a part", f"must arrive within {BODY_S:.0f} s")


def _as_http(refusal: HTTPProblem) -> HTTPException:
    """What FastAPI lets through while it reads a body; anything else it takes for a broken one."""
    error = HTTPException(refusal.status)
    error.__cause__ = refusal
    return error


def _announced_bytes(scope: Scope) -> float:
    text = header(scope, b"content-length")
    return int(text) if text.isdecimal() and len(text) < 20 else math.inf if text else 0


async def declare_content(request: Request) -> None:
    """Refuses a body of a kind that its route has not declared. A dependency of every route."""
    route = request.scope.get("route")
    declared = _declared_types(route) if isinstance(route, APIRoute) else ()
    if not declared or not _has_body(request.scope):
        return
    given = header(request.scope, b"content-type")
    if given.partition(";")[0].strip().lower() not in declared:
        raise HTTPProblem.of(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Type", given, f"must be {' or '.join(declared)}"
        )


def _has_body(scope: Scope) -> bool:
    return header(scope, b"content-length") not in ("", "0") or bool(header(scope, b"transfer-encoding"))


def _declared_types(route: APIRoute) -> Collection[str]:
    by_hand = (route.openapi_extra or {}).get("requestBody", {}).get("content", {})
    if by_hand or route.body_field is None:
        return tuple(by_hand)
    return (getattr(route.body_field.field_info, "media_type", None) or _JSON,)
