"""How templates write numbers, durations, moments and a study's standing for people."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from convscout.services.config.units import format_bytes, format_clock, format_count
from convscout.services.events.wording import (
    budget_text,
    counts_text,
    loading_text,
    network_text,
    phase_text,
    sentence,
    state_text,
    trial_name,
)

NOTHING = "–"


def clock(seconds: float | None) -> str:
    """A running time: ``3m 05s``."""
    return NOTHING if seconds is None else format_clock(seconds)


def count(number: float | None) -> str:
    """A large number with its suffix: ``61.7k``."""
    return NOTHING if number is None else format_count(number)


def share(number: float | None) -> str:
    """A part of a whole: ``97.22 %``."""
    return NOTHING if number is None else f"{number:.2%}".replace("%", " %")


def size(number: float | None) -> str:
    """Bytes: ``1.5 GiB``."""
    return NOTHING if number is None else format_bytes(number)


def moment(when: datetime.datetime | None) -> str:
    """A moment in UTC: ``22 Nov 2026, 08:20:15``."""
    return (
        NOTHING if when is None else when.astimezone(datetime.UTC).strftime("%d %b %Y, %H:%M:%S").lstrip("0")
    )


def words(name: str) -> str:
    """A name as a person reads it: ``macro_f1`` is ``macro f1``."""
    return name.replace("_", " ")


FILTERS: Mapping[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (
        clock,
        count,
        share,
        size,
        moment,
        words,
        budget_text,
        counts_text,
        loading_text,
        network_text,
        phase_text,
        sentence,
        state_text,
        trial_name,
    )
}
