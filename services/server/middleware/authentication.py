"""Identified: finds out who asks, by the token that a program sends or the cookie of a browser."""

from __future__ import annotations

import hmac
import math
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from convscout.services.control.store import ServiceStore
from convscout.services.http.problems import HTTPProblem
from convscout.services.server.auth.actor import NOBODY, Actor
from convscout.services.server.auth.login_throttle import Attempts
from convscout.services.server.auth.requests import address, client, header, is_open
from convscout.services.server.auth.sessions import Sessions
from convscout.services.server.errors import answer

_REFUSED = 401


class Credentials:
    """What the service knows of who may ask: the token, the sessions that began with it, and wrong attempts."""

    def __init__(self, token: str, store: ServiceStore) -> None:
        self._token = token.encode()
        self.store = store
        self.sessions = Sessions(token, store)
        self.attempts = Attempts()

    def is_token(self, token: str) -> bool:
        """Whether ``token`` is the token, in a time that does not tell how much of it is right."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), self._token)


class Identified:
    """Notes the ``Actor`` of each request; one whose tokens were wrong too often has to wait."""

    def __init__(self, app: ASGIApp, credentials: Credentials) -> None:
        self._app = app
        self._credentials = credentials

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not is_open(scope):
            try:
                scope.setdefault("state", {})["actor"] = await self._actor(scope)
            except HTTPProblem as refusal:
                await answer(scope, refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _actor(self, scope: Scope) -> Actor | None:
        scheme, _, token = header(scope, b"authorization").partition(" ")
        if scheme.lower() == "bearer":  # others are those of a proxy before us
            return await self._by_token(scope, token.strip())
        session = self._credentials.sessions.of(scope)
        return Actor.of(session) if session else None

    async def _by_token(self, scope: Scope, token: str) -> Actor | None:
        who, attempts = client(scope), self._credentials.attempts
        refuse_hasty(attempts.wait_s(who))
        if self._credentials.is_token(token):
            attempts.succeeded(who)
            return Actor(name="token")
        if not attempts.repeated(who, token):
            attempts.failed(who)
            await run_in_threadpool(
                self._credentials.store.audit,
                actor=NOBODY,
                client=address(scope),
                method=scope["method"],
                route="wrong token",
                target=scope["path"],
                status=_REFUSED,
            )
        return None


def refuse_hasty(wait_s: float) -> None:
    """Raises ``HTTPProblem`` for who has to wait ``wait_s`` seconds before a token is looked at."""
    if wait_s > 0:
        rule = f"was wrong too often; the next one is looked at in {math.ceil(wait_s)} s"
        raise HTTPProblem.of(
            HTTPStatus.TOO_MANY_REQUESTS, "token", None, rule, Retry_After=str(math.ceil(wait_s))
        )
