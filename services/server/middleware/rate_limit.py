"""Paced: nobody may ask more often than the settings allow, so that no client keeps the others waiting."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from convscout.services.http.problems import HTTPProblem
from convscout.services.server.auth.actor import actor_of
from convscout.services.server.auth.requests import client
from convscout.services.server.errors import answer

_CLIENTS = 10_000  # that are remembered at once


class Buckets:
    """A bucket of ``a_minute`` requests for each client, which fills again within a minute."""

    def __init__(self, a_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = float(a_minute)
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # client → requests that were left, and when

    def wait_s(self, who: str) -> float:
        """Take a request out of the bucket of ``who``: 0, or in how many seconds there is one again."""
        now_s = self._clock()
        left, then_s = self._buckets.pop(who, (self._size, now_s))
        left = min(self._size, left + (now_s - then_s) * self._size / 60)
        granted = left >= 1
        self._buckets[who] = (left - granted, now_s)  # whoever asked last comes last
        if len(self._buckets) > _CLIENTS:
            del self._buckets[next(iter(self._buckets))]
        return 0.0 if granted else (1 - left) * 60 / self._size


class Paced:
    """Counts requests by session, by token and address, or by address. A stream of events is one request."""

    def __init__(self, app: ASGIApp, a_minute: int) -> None:
        self._app = app
        self._a_minute = a_minute
        self._buckets = Buckets(a_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (wait_s := self._buckets.wait_s(_who(scope))):
            refusal = HTTPProblem.of(
                HTTPStatus.TOO_MANY_REQUESTS,
                "requests",
                "more",
                f"must be at most {self._a_minute} a minute",
                Retry_After=str(math.ceil(wait_s)),
            )
            await answer(scope, refusal)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _who(scope: Scope) -> str:
    actor = actor_of(scope)
    if actor and actor.session:
        return actor.session.id
    return f"{actor.name if actor else ''} {client(scope)}"
