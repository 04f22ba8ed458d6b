"""SearchTime: the axis of time that the plots of a study share."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence

from convscout.services.ledger.trial_record import TrialRecord

_LONGEST_BREAK_S = 600.0  # of the clock, when no trial runs, that a plot shows as it is


class SearchTime:
    """Time of the clock since the first trial began, without the breaks in which no trial ran.

    A break of up to ten minutes counts. A trial that still runs reaches to the last word of any trial.
    """

    def __init__(self, records: Sequence[TrialRecord]) -> None:
        known = [record for record in records if record.started_at]
        last_s = max((_last_word_s(record) for record in known), default=0.0)
        self._spans = {r.number: (_seconds(r.started_at), _end_s(r, last_s)) for r in known}
        self._busy = _merge(self._spans.values())
        self.unit, self._scale = _unit(self._at(last_s))

    def span(self, record: TrialRecord) -> tuple[float, float] | None:
        """When the trial began and ended, in ``unit``s; None if it never began."""
        if record.number not in self._spans:
            return None
        began_s, ended_s = self._spans[record.number]
        return self._at(began_s) / self._scale, self._at(ended_s) / self._scale

    def of_epoch(self, record: TrialRecord, elapsed_s: float) -> float:
        """When the trial had been trained for ``elapsed_s``, in ``unit``s."""
        began_s, ended_s = self._spans.get(record.number, (0.0, 0.0))
        return self._at(min(began_s + elapsed_s, ended_s)) / self._scale

    def _at(self, moment_s: float) -> float:
        passed_s = 0.0
        for began_s, ended_s in self._busy:
            passed_s += max(0.0, min(moment_s, ended_s) - began_s)
        return passed_s


def _seconds(moment: datetime.datetime | None) -> float:
    return moment.timestamp() if moment else 0.0


def _last_word_s(record: TrialRecord) -> float:
    return max(_seconds(record.finished_at), _seconds(record.started_at) + record.training_s)


def _end_s(record: TrialRecord, last_s: float) -> float:
    return _seconds(record.finished_at) if record.finished_at else last_s


def _merge(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """``spans`` in order, those that overlap or lie close together as one."""
    merged: list[tuple[float, float]] = []
    for began_s, ended_s in sorted(spans):
        if merged and began_s <= merged[-1][1] + _LONGEST_BREAK_S:
            merged[-1] = merged[-1][0], max(merged[-1][1], ended_s)
        else:
            merged.append((began_s, ended_s))
    return merged


def _unit(longest_s: float) -> tuple[str, float]:
    for name, length_s in (("h", 3600.0), ("min", 60.0)):
        if longest_s >= 3 * length_s:
            return name, length_s
    return "s", 1.0
