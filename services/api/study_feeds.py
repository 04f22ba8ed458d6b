"""The feeds of the studies of a home: what is looked at and read for those who follow one."""

from __future__ import annotations

import json
from collections.abc import Callable

from fastapi.sse import format_sse_event

from search_space.errors import StudyNotFoundError
from services.api.feeds import Feed, Feeds, News, Stand
from services.control.plane import ControlPlane
from services.journal import entries, journal_file, journal_size

_DELETED = "deleted"  # beside the states that a study has


def study_feeds(plane: ControlPlane, told: Callable[[], None]) -> Feeds:
    """The feeds of the studies of ``plane``, which call ``told`` when something has happened."""

    def begin(name: str) -> Feed:
        return Feed(lambda: _stand(plane, name), lambda position: _news(plane, name, position), told)

    return Feeds(begin)


def stand_of(plane: ControlPlane, name: str) -> Stand:
    """How a study stands. Raises ``StudyNotFoundError``."""
    status = str(plane.state(name).status)
    return Stand(status, journal_size(journal_file(plane.home, name)))


def _stand(plane: ControlPlane, name: str) -> Stand:
    try:
        return stand_of(plane, name)
    except StudyNotFoundError:
        return Stand(_DELETED, journal_size(journal_file(plane.home, name)))


def _news(plane: ControlPlane, name: str, position: int) -> News:
    told = []
    for entry in entries(journal_file(plane.home, name), position):
        position = entry.end
        data = json.dumps(entry.to_dict())
        told.append(format_sse_event(event=entry.kind, id=str(entry.end), data_str=data))
    return News(b"".join(told), position)
