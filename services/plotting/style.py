"""What the plots of a study share: colours, and the axis of scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from convscout.services.config.units import format_count
from convscout.services.ledger.trial_record import TrialRecord
from convscout.trials.config import TrialState
from convscout.trials.evaluation.qualities import Quality

Colour = tuple[float, float, float, float]  # red, green, blue, opacity

STATE_COLOURS = {
    TrialState.COMPLETED: "tab:blue",
    TrialState.STOPPED: "tab:orange",
    TrialState.FAILED: "tab:red",
    TrialState.RUNNING: "tab:gray",
}
BEST_COLOUR = "black"
_LOWEST_QUANTILE = 0.1  # of scores that lie below what is shown: beginnings would press the rest together


def family_colours(records: Iterable[TrialRecord]) -> dict[str, Colour]:
    """A colour for each family, by name."""
    names = sorted({record.family for record in records})
    return {name: colormaps["tab20"](index % 20) for index, name in enumerate(names)}


def mark_score(axes: Axes, scores: Sequence[float], quality: Quality, *, best: bool = False) -> float:
    """Let ``axes`` show the better nine tenths of ``scores``; returns the worst value it shows.

    ``best`` says that they are the best so far, not those of single trials.
    """
    sign = 1 if quality.maximize else -1
    utility = sign * np.array(scores)
    lowest, highest = float(np.quantile(utility, _LOWEST_QUANTILE)), float(utility.max())
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
