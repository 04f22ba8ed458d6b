"""What the plots of a study share: colours, the axis of time and that of scores."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from services.trial_record import TrialRecord
from services.units import format_count
from trials.config import TrialState
from trials.qualities import Quality

Colour = tuple[float, float, float, float]  # red, green, blue, opacity

STATE_COLOURS = {
    TrialState.COMPLETED: "tab:blue",
    TrialState.STOPPED: "tab:orange",
    TrialState.FAILED: "tab:red",
    TrialState.RUNNING: "tab:gray",
}
BEST_COLOUR = "black"
_LONGEST_BREAK_S = 600.0  # of the clock, when no trial runs, that a plot shows as it is
_LOWEST_QUANTILE = 0.1  # of scores that lie below what is shown: beginnings would press the rest together


def family_colours(records: Iterable[TrialRecord]) -> dict[str, Colour]:
    """A colour for each family, by name."""
    names = sorted({record.family for record in records})
    return {name: colormaps["tab20"](index % 20) for index, name in enumerate(names)}


class SearchTime:
    """Time of the clock since the first trial began, without the breaks in which no trial ran.

    A break of up to ten minutes counts. A trial that still runs reaches to the last word of any trial.
    """

    def __init__(self, records: Sequence[TrialRecord]) -> None:
        known = [record for record in records if record.started_at]
        last_s = max((_last_word_s(record) for record in known), default=0.0)
        self._spans = {r.number: (_seconds(r.started_at), _end_s(r, last_s)) for r in known}
        self._busy = _merged(self._spans.values())
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


def mark_score(axes: Axes, scores: Sequence[float], quality: Quality, *, best: bool = False) -> float:
    """Let ``axes`` show the better nine tenths of ``scores``; returns the worst value it shows.

    ``best`` says that they are the best so far, not those of single trials.
    """
    sign = 1 if quality.maximize else -1
    goodness = sign * np.array(scores)
    lowest, highest = float(np.quantile(goodness, _LOWEST_QUANTILE)), float(goodness.max())
    room = max(highest - lowest, 0.05)
    ends = sorted((sign * (lowest - 0.15 * room), sign * (highest + 0.08 * room)))
    bottom, top = max(ends[0], 0.0), min(ends[1], 1 + 0.02 * room if quality.share else math.inf)
    axes.set_ylim(bottom, top)
    axes.set_ylabel(f"best {score_label(quality)}" if best else score_label(quality))
    axes.grid(alpha=0.3)
    return bottom if quality.maximize else top


def score_label(quality: Quality) -> str:
    """What an axis calls ``quality``."""
    return f"validation {quality.name.replace('_', ' ')}"


def count_along(axes: Axes, label: str) -> None:
    """Let the horizontal axis count something whole."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel(label)


def mark_logarithmic(axis: Axis, values: Sequence[float]) -> None:
    """Let ``axis``, which shows ``values`` > 0, be logarithmic and name few enough of its ticks."""
    axis.axes.set_xscale("log") if axis is axis.axes.xaxis else axis.axes.set_yscale("log")
    few = max(values) > 1000 * min(values)
    axis.set_major_locator(LogLocator(subs=(1.0,) if few else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: format_count(value) if value >= 1 else f"{value:g}")
    )
    axis.set_minor_formatter(NullFormatter())


def _seconds(moment: datetime.datetime | None) -> float:
    return moment.timestamp() if moment else 0.0


def _last_word_s(record: TrialRecord) -> float:
    return max(_seconds(record.finished_at), _seconds(record.started_at) + record.training_s)


def _end_s(record: TrialRecord, last_s: float) -> float:
    return _seconds(record.finished_at) if record.finished_at else last_s


def _merged(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
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
