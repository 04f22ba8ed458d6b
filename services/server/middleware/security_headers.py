"""Headers: what browsers are told about every answer, so that they do nothing with it that was not meant."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convscout.services.server.auth.requests import STATIC

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_ALWAYS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_NEVER_KEPT = (b"cache-control", b"no-store")
_ASKED_AGAIN = (b"cache-control", b"no-cache")  # kept, and the server is asked whether it still is the same


class SecurityHeaders:
    """Adds to every answer the headers that its route did not set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        cached = _ASKED_AGAIN if scope["path"].startswith(STATIC) else _NEVER_KEPT

        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                missing = [pair for pair in (*_ALWAYS, cached) if pair[0] not in present]
                message["headers"] = [*message["headers"], *missing]
            await send(message)

        await self._app(scope, receive, adding)
