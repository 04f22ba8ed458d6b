"""The journal of a study as sentences, the latest first."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.journal import Entry, entries
from services.units import format_clock

_TAIL_BYTES = 24_000
_KINDS_LEFT_OUT = ("budgets", "trial_estimated", "loading")


@dataclass(frozen=True, kw_only=True)
class Happening:
    """``trial`` is the number of the one that it is about, if it is about one."""

    at: datetime.datetime
    text: str
    trial: int | None


def latest_happenings(path: Path, most: int) -> list[Happening]:
    """The ``most`` latest events in the journal at ``path`` that a person wants to know of, the latest first."""
    try:
        begin = max(0, path.stat().st_size - _TAIL_BYTES)
    except FileNotFoundError:
        return []
    told = [each for each in entries(path, begin) if each.kind not in _KINDS_LEFT_OUT]
    return [_happening(entry) for entry in reversed(told[-most:])]


def _happening(entry: Entry) -> Happening:
    return Happening(
        at=datetime.datetime.fromtimestamp(entry.at, datetime.UTC),
        text=_text(entry.kind, entry.facts),
        trial=entry.facts.get("trial"),
    )


def _text(kind: str, facts: Mapping[str, Any]) -> str:
    match kind:
        case "run_started":
            return f"a run began: convscout {facts['command']}"
        case "run_ended":
            return f"the run ended: {facts['how']}" + (f", {facts['error']}" if facts.get("error") else "")
        case "search_started":
            return f"the search goes on with {facts['workers']} workers" + _deadline(facts.get("deadline_s"))
        case "trial_started":
            again = f", attempt {facts['attempt']}" if facts["attempt"] > 1 else ""
            return f"{facts['family']} is dispatched{again}"
        case "epoch":
            return f"epoch {facts['epoch']}: {facts['score']:.4f}"
        case "trial_ended":
            score = f" at {facts['score']:.4f}" if facts["score"] is not None else ""
            return f"{facts['family']} is {facts['state']}{score}: {facts['reason']}"
        case "phase":
            return f"{facts['phase']}" + (f": {facts['detail']}" if facts["detail"] else "")
        case "notice":
            return str(facts["text"])
    return kind.replace("_", " ")


def _deadline(seconds: float | None) -> str:
    return f", {format_clock(seconds)} are left" if seconds is not None else ""
