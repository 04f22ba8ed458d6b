"""The feeds of the studies of a home, which read status and event log for all clients that follow one."""

from __future__ import annotations

import json
from collections.abc import Callable

from fastapi.sse import format_sse_event

from convscout.search_space.errors import StudyNotFoundError
from convscout.services.control.plane import ControlPlane
from convscout.services.events.event_log import entries, event_log_bytes, event_log_path
from convscout.services.server.api.event_feed import Feed, Feeds, News, Stand

_DELETED = "deleted"  # beside the states that a study has


def study_feeds(plane: ControlPlane, notify: Callable[[], None]) -> Feeds:
    """The feeds of the studies of ``plane``, which call ``notify`` when something has happened."""

    def begin(name: str) -> Feed:
        return Feed(lambda: _stand(plane, name), lambda position: _news(plane, name, position), notify)

    return Feeds(begin)


def stand_of(plane: ControlPlane, name: str) -> Stand:
    """How a study stands. Raises ``StudyNotFoundError``."""
    status = str(plane.state(name).status)
    return Stand(status, event_log_bytes(event_log_path(plane.home.study(name))))


def _stand(plane: ControlPlane, name: str) -> Stand:
    try:
        return stand_of(plane, name)
    except StudyNotFoundError:
        return Stand(_DELETED, event_log_bytes(event_log_path(plane.home.study(name))))


def _news(plane: ControlPlane, name: str, position: int) -> News:
    messages = []
    for entry in entries(event_log_path(plane.home.study(name)), position):
        position = entry.end
        data = json.dumps(entry.to_dict())
        messages.append(format_sse_event(event=entry.kind, id=str(entry.end), data_str=data))
    return News(b"".join(messages), position)
