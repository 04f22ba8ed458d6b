"""Events of a study as they happen, as server-sent events that go on where a client was cut off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, NamedTuple, cast

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from convscout.services.events.event_log import event_log_path, last_run
from convscout.services.server.api.event_feed import Feed, Feeds, Stand
from convscout.services.server.api.openapi import problems
from convscout.services.server.api.study_events import stand_of
from convscout.services.server.dependencies import Plane
from convscout.services.server.path_params import StudyPath

router = APIRouter(prefix="/api/v1/studies/{name}", tags=["studies"])

_STATUS = "status"
# after which a word is sent that means nothing, so that nobody between takes the line for dead
_SILENCE_S = 15.0
_MEDIA_TYPE = "text/event-stream"
_EVENT: dict[str, Any] = {
    "type": "object",
    "properties": {"data": {"type": "string"}, "event": {"type": "string"}, "id": {"type": "string"}},
}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events, until the client leaves.",
        "content": {_MEDIA_TYPE: {"itemSchema": _EVENT}},
    }
}
_LastEventId = Annotated[
    int | None, Header(ge=0, lt=2**63, description="The id of the last event that was seen.")
]


class _Followed(NamedTuple):
    feed: Feed
    stand: Stand


async def _follow(request: Request, plane: Plane, name: StudyPath) -> _Followed:
    """The feed of a study, which must exist: once an answer has begun, there is no other."""
    stand = await asyncio.to_thread(stand_of, plane, name)
    return _Followed(cast(Feeds, request.app.state.feeds).of(name), stand)


# not FastAPI's own, which encodes each event for each client
@router.get("/events", response_class=StreamingResponse, responses=_STREAM | problems(404, 503))
async def events(
    plane: Plane,
    name: StudyPath,
    followed: Annotated[_Followed, Depends(_follow)],
    last_event_id: _LastEventId = None,
    follow: Annotated[bool, Query(description="Wait for what happens next, or end with what has.")] = True,
) -> StreamingResponse:
    """What happens in a study, from the beginning of its latest run, or from the event that was seen last.

    The name of an event is the type of its line in the event log of the study, its data the line. `status` comes when
    the study stands otherwise than before, without an id.
    """
    position = last_event_id
    if position is None:
        position = await asyncio.to_thread(last_run, event_log_path(plane.home.study(name)))
    return StreamingResponse(
        _tell(followed, position, follow),
        media_type=_MEDIA_TYPE,
        headers={"X-Accel-Buffering": "no"},  # proxies pass on what they get at once
    )


async def _tell(followed: _Followed, position: int, follow: bool) -> AsyncIterator[bytes]:
    feed, shown = followed.feed, ""
    with feed.followed(followed.stand):
        while True:
            turn, stand = feed.turn, feed.stand
            if stand and stand.status != shown:
                shown = stand.status
                data = {"type": _STATUS, "status": shown}
                yield format_sse_event(event=_STATUS, data_str=json.dumps(data))
            news = await feed.news(position)
            position = news.position
            if news.text:
                yield news.text
            if not follow:
                return
            try:
                await asyncio.wait_for(turn.wait(), _SILENCE_S)
            except TimeoutError:
                yield KEEPALIVE_COMMENT
