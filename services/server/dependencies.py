"""What routes ask for by a parameter: the plane, who asks, a page of a long list, which state is meant.

They are coroutines because FastAPI gives anything else to another thread, which takes longer than they do.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, TypeAlias, TypeVar, cast

from fastapi import Depends, Header, Query, Request

from convscout.services.control.plane import ControlPlane
from convscout.services.http.problems import HTTPProblem
from convscout.services.server.auth.actor import Actor as _Actor
from convscout.services.server.auth.actor import actor_of

MOST_ITEMS = 500
_LONGEST_CURSOR = 1000  # characters
_LARGEST = 2**63  # of the whole numbers that a database takes

Key: TypeAlias = str | int | float
T = TypeVar("T")


async def _plane(request: Request) -> ControlPlane:
    return cast(ControlPlane, request.app.state.plane)


async def _actor(request: Request) -> _Actor:
    actor = actor_of(request.scope)
    assert actor is not None, "the route is open to everybody"
    return actor


@dataclass(frozen=True)
class Paging:
    """At most ``limit`` items, which come after the one whose ``cursor`` the client was given."""

    limit: int
    cursor: str | None

    def position(self, *kinds: type[Key]) -> tuple[Any, ...] | None:
        """The key that the cursor stands for, a value of each of ``kinds``; None at the beginning.

        Raises ``HTTPProblem`` for a cursor that no list of these kinds gave.
        """
        if self.cursor is None:
            return None
        try:
            key = json.loads(_decode(self.cursor), parse_constant=_no_number)
        except (ValueError, binascii.Error, RecursionError):
            raise self._foreign() from None
        if not isinstance(key, list) or len(key) != len(kinds) or not all(map(_is, key, kinds)):
            raise self._foreign()
        return tuple(key)

    def of(self, found: list[T]) -> tuple[list[T], str | None]:
        """The page of a list that is at hand, with the cursor of the next one, if there is one.

        The cursor is a place in the list. Raises ``HTTPProblem`` as ``position`` does.
        """
        position = self.position(int)
        begin = position[0] if position else 0
        end = begin + self.limit
        return found[begin:end], self.after(end) if end < len(found) else None

    @staticmethod
    def after(*key: Key) -> str:
        """The cursor of what comes after the item of this ``key``."""
        return base64.urlsafe_b64encode(json.dumps(key).encode()).decode("ascii")

    def _foreign(self) -> HTTPProblem:
        rule = "must be what the field next of an answer from here says"
        return HTTPProblem.of(HTTPStatus.UNPROCESSABLE_ENTITY, "cursor", self.cursor, rule)


def _decode(cursor: str) -> bytes:
    return base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)


def _no_number(name: str) -> None:
    raise ValueError(name)


def _is(value: object, kind: type[Key]) -> bool:
    if type(value) is not kind:
        return False
    if isinstance(value, str):
        return value.isprintable()  # halves of characters are not
    return abs(cast(float, value)) < _LARGEST


async def _paging(
    limit: Annotated[int, Query(ge=1, le=MOST_ITEMS, description="How many items at most.")] = 50,
    cursor: Annotated[
        str | None,
        Query(max_length=_LONGEST_CURSOR, description="Where to go on: `next` of the answer before."),
    ] = None,
) -> Paging:
    return Paging(limit, cursor)


@dataclass(frozen=True)
class Precondition:
    """What the client wants changed only as long as it is in one of the states of ``tags``; None: in any."""

    tags: frozenset[str] | None

    def require(self, tag: str) -> None:
        """Raises ``HTTPProblem`` where the state is another one by now. ``tag`` is in its quotes."""
        if self.tags is not None and tag not in self.tags and "*" not in self.tags:
            rule = f"must be {tag}, as somebody else changed it: get it again"
            raise HTTPProblem.of(
                HTTPStatus.PRECONDITION_FAILED, "If-Match", ", ".join(sorted(self.tags)), rule
            )


async def _precondition(
    if_match: Annotated[
        str | None,
        Header(
            max_length=_LONGEST_CURSOR, description="The ETag of the state that is meant.", examples=["*"]
        ),
    ] = None,
) -> Precondition:
    if if_match is None:
        return Precondition(None)
    return Precondition(frozenset(tag.strip() for tag in if_match.split(",")))


Plane = Annotated[ControlPlane, Depends(_plane)]
Actor = Annotated[_Actor, Depends(_actor)]
Page = Annotated[Paging, Depends(_paging)]
IfMatch = Annotated[Precondition, Depends(_precondition)]
