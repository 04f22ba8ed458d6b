"""Events of a study as they happen, as server-sent events that go on where a client was cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from search_space.errors import StudyNotFoundError
from services.api.declared import problems
from services.api.dependencies import Plane
from services.api.feeds import Feed, Feeds
from services.api.paths import StudyPath
from services.control.plane import ControlPlane
from services.journal import Entry, entries, journal_file, last_run

router = APIRouter(prefix="/api/v1/studies/{name}", tags=["studies"])

_STATUS = "status"
_PATIENCE_S = (
    5.0  # after which a look is taken although nothing woke us: what came between two looks is not lost
)
_LastEventId = Annotated[
    int | None, Header(ge=0, lt=2**63, description="The id of the last event that was seen.")
]


def _feed(request: Request, plane: Plane, name: StudyPath) -> Feed:
    """The feed of a study, which must exist: once an answer has begun, there is no other."""
    plane.state(name)
    state = request.app.state
    if not hasattr(state, "feeds"):
        state.feeds = Feeds(lambda study: _stand(plane, study))
    return cast(Feeds, state.feeds).of(name)


@router.get("/events", response_class=EventSourceResponse, responses=problems(404, 503))
async def events(
    plane: Plane,
    name: StudyPath,
    feed: Annotated[Feed, Depends(_feed)],
    last_event_id: _LastEventId = None,
    follow: Annotated[bool, Query(description="Wait for what happens next, or end with what has.")] = True,
) -> AsyncIterator[ServerSentEvent]:
    """What happens in a study, from the beginning of its latest run, or from the event that was seen last.

    The name of an event is the type of the line in the study's journal, its data the line. `status` comes whenever the
    study stands otherwise than before, without an id.
    """
    path = journal_file(plane.home, name)
    position = await asyncio.to_thread(last_run, path) if last_event_id is None else last_event_id
    shown = ""
    async with feed.followed():
        while True:
            status = await asyncio.to_thread(_status, plane, name)
            if status != shown:
                shown = status
                yield ServerSentEvent(event=_STATUS, data={"type": _STATUS, "status": status})
            for entry in await asyncio.to_thread(_since, plane, name, position):
                position = entry.end
                yield ServerSentEvent(event=entry.kind, id=str(entry.end), data=entry.to_dict())
            if not follow:
                return
            await feed.changed(_PATIENCE_S)


def _since(plane: ControlPlane, name: str, position: int) -> list[Entry]:
    return list(entries(journal_file(plane.home, name), position))


def _status(plane: ControlPlane, name: str) -> str:
    try:
        return str(plane.state(name).status)
    except StudyNotFoundError:
        return "deleted"


def _stand(plane: ControlPlane, name: str) -> tuple[str, int]:
    path = journal_file(plane.home, name)
    return _status(plane, name), path.stat().st_size if path.exists() else 0
