"""The event log of a study as sentences, the latest first."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from convscout.services.events.event_log import Entry, entries
from convscout.services.events.wording import event_text, trial_name

_TAIL_BYTES = 24_000


@dataclass(frozen=True, kw_only=True)
class Happening:
    """An event for a page. ``trial`` is the number of the one that it is about, whose name ``text`` then leaves out."""

    at: datetime.datetime
    text: str
    trial: int | None


def latest_happenings(path: Path, most: int) -> list[Happening]:
    """The ``most`` latest events in the event log at ``path`` that have a text, the latest first."""
    try:
        begin = max(0, path.stat().st_size - _TAIL_BYTES)
    except FileNotFoundError:
        return []
    found = [(each, text) for each in entries(path, begin) if (text := event_text(each.kind, each.facts))]
    return [_happening(entry, text) for entry, text in reversed(found[-most:])]


def _happening(entry: Entry, text: str) -> Happening:
    trial = entry.facts.get("trial")
    return Happening(
        at=datetime.datetime.fromtimestamp(entry.at, datetime.UTC),
        text=text if trial is None else text.removeprefix(trial_name(trial)),
        trial=trial,
    )
