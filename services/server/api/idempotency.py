"""Idempotency keys: a request that is sent again, because its answer was lost, is answered and not done again.

Whoever sends it chooses the key (header ``Idempotency-Key``); the answer is kept for a day.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Request
from pydantic import BaseModel

from convscout.services.control.plane import ControlPlane
from convscout.services.http.problems import HTTPProblem
from convscout.services.server.dependencies import Plane

Answer = TypeVar("Answer", bound=BaseModel)

_one_at_a_time = threading.Lock()  # so that two at once do not both find nothing


class _Once:
    """Does something once for all requests of one key; without a key, each time."""

    def __init__(self, plane: ControlPlane, key: str | None, asked: str) -> None:
        self._plane = plane
        self._key = key
        self._asked = asked

    def __call__(self, make: Callable[[], Answer], kind: type[Answer]) -> Answer:
        """What ``make`` answers, an instance of ``kind``, or has answered before.

        Raises ``HTTPProblem`` for a key that came with another request.
        """
        if self._key is None:
            return make()
        with _one_at_a_time:
            if known := self._plane.store.answered(self._key):
                if known.asked != self._asked:
                    rule = "was used for another request; choose a fresh one"
                    raise HTTPProblem.of(HTTPStatus.UNPROCESSABLE_ENTITY, "Idempotency-Key", self._key, rule)
                return kind.model_validate_json(known.answer)
            made = make()
            self._plane.store.remember(self._key, self._asked, made.model_dump_json())
            return made


async def _once(
    request: Request,
    plane: Plane,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=200,
            pattern=r"^[!-~]+$",
            description="Any fresh word; the same request with the same word is done once.",
        ),
    ] = None,
) -> _Once:
    body = await request.body() if idempotency_key else b""
    told = f"{request.method} {request.url.path}\n".encode() + body
    return _Once(plane, idempotency_key, hashlib.sha256(told).hexdigest())


Once = Annotated[_Once, Depends(_once)]
