"""Why trials ended: their reasons, those that differ in numbers alone counted together."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from services.trial_record import TrialRecord

_NUMBER = re.compile(r"[+-]?\d[\d.,]*(?:e[+-]?\d+)?[kMG]?")
_MOST_EXAMPLES = 8


@dataclass
class ReasonGroup:
    """Trials that came to the same ``state`` for the same ``reason``; ``examples`` are the latest of them."""

    state: str
    reason: str
    count: int = 0
    examples: list[TrialRecord] = field(default_factory=list)


def grouped_reasons(records: Iterable[TrialRecord]) -> list[ReasonGroup]:
    """The reasons for which trials ended, the most frequent first; a number that differs reads as …"""
    groups: dict[tuple[str, str], ReasonGroup] = {}
    for record in records:
        if not record.reason:
            continue
        key = str(record.state), _NUMBER.sub("…", record.reason)
        group = groups.setdefault(key, ReasonGroup(state=key[0], reason=record.reason))
        group.count += 1
        group.examples = [record, *group.examples[: _MOST_EXAMPLES - 1]]
        if group.reason != record.reason:
            group.reason = key[1]
    return sorted(groups.values(), key=lambda each: -each.count)
