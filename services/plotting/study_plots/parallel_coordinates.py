"""The most important knobs of each trial as a line, coloured by what the trial achieved."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.plotting.knobs import ObservedKnob
from convscout.services.plotting.style import score_label
from convscout.services.plotting.view import StudyView
from convscout.services.plugins import study_plots

_MOST = 6  # knobs
_MISSING = -0.14  # where the lines of trials pass that have no such knob
_MOST_MARKS = 5
_LEAST_GAP = 0.035  # between two of them: what a line of text takes
_LOWEST_QUANTILE = 0.1  # of scores that are told apart by their colour


@study_plots.register("parallel-coordinates")
def parallel_coordinates(study: StudyView) -> Figure | None:
    """A line for each judged trial, the best on top; None with too few trials to tell which knobs matter.

    Of the knobs that most trials have, since the others are axes that most lines pass by.
    """
    shared = [name for name in study.importances if 2 * len(study.knobs[name].values) >= len(study.scored)]
    if not shared:
        return None
    scored = sorted(study.scored, key=lambda record: record.utility)
    scores = {record.number: record.score for record in scored}
    reached = ObservedKnob(name=score_label(study.quality), values=scores, scale="linear")
    axes_of = [*(study.knobs[name] for name in shared[:_MOST]), reached]
    figure = Figure(figsize=(13, 5.6))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.07, right=0.98, bottom=0.13, top=0.9)
    heights = np.stack([_heights(knob, scored) for knob in axes_of], axis=1)  # (N, K)
    _draw(axes, heights, np.array([record.utility for record in scored]))
    for place, knob in enumerate(axes_of):
        _label(axes, place, knob, missing=len(knob.values) < len(scored))
    axes.set_xticks(range(len(axes_of)), [re.sub(r"([. ])", r"\1\n", knob.name, count=1) for knob in axes_of])
    axes.set(xlim=(-0.3, len(axes_of) - 0.85), ylim=(_MISSING - 0.06, 1.05), yticks=[])
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.tick_params(axis="x", length=0)
    return figure


def _draw(axes: Axes, heights: npt.NDArray[np.float64], utility: npt.NDArray[np.float64]) -> None:
    """``heights`` (N, K) of N lines over K axes, in the order of their ``utility`` (N,)."""
    count, places = heights.shape
    colours = Normalize(float(np.quantile(utility, _LOWEST_QUANTILE)), float(utility.max()))
    where = np.broadcast_to(np.arange(places, dtype=np.float64), heights.shape)
    lines = LineCollection(
        list(np.stack([where, heights], axis=2)),  # N of (K, 2)
        colors=colormaps["viridis"](colours(utility)),
        linewidths=1.4 if count <= 100 else 0.7,
        alpha=0.8 if count <= 100 else 0.4,
    )
    axes.add_collection(lines)


def _heights(knob: ObservedKnob, records: Sequence[TrialRecord]) -> npt.NDArray[np.float64]:
    """Where the line of each trial crosses the axis of ``knob``: in [0, 1], or below where it has none.

    The lines of trials with one value are spread a little, so that their number shows.
    """
    room = min(0.03, 0.25 / len(knob.distinct)) if knob.categorical else 0.005
    spread = np.random.default_rng(0).uniform(-room, room, len(records))
    places = _places(knob)
    known = (record.number in knob.values for record in records)
    at = [
        places(knob.values[record.number]) if has else _MISSING
        for record, has in zip(records, known, strict=True)
    ]
    return np.array(at) + spread


def _places(knob: ObservedKnob) -> Callable[[Any], float]:
    """What tells where a value is on the axis of ``knob``, in [0, 1]."""
    values = knob.distinct
    if knob.categorical:
        return {value: index / (len(values) - 1) for index, value in enumerate(values)}.__getitem__
    scale = math.log if knob.log else float
    low, high = scale(values[0]), scale(values[-1])
    return lambda value: (scale(value) - low) / (high - low or 1.0)


def _label(axes: Axes, place: int, knob: ObservedKnob, *, missing: bool) -> None:
    """Draw the axis of ``knob`` with its values; ``missing`` says whether some trials have none."""
    axes.plot([place, place], [0, 1], color="black", linewidth=1, zorder=3)
    places = _places(knob)
    marks = [(_MISSING, "none")] if missing else []
    for value in _marks(knob):
        if not marks or places(value) - marks[-1][0] >= _LEAST_GAP:
            marks.append((places(value), _text(value)))
    box = dict(boxstyle="round,pad=0.12", facecolor="white", alpha=0.75, linewidth=0)
    for height, text in marks:
        axes.text(place - 0.02, height, text, ha="right", va="center", fontsize=8, zorder=4, bbox=box)


def _marks(knob: ObservedKnob) -> list[Any]:
    """The values to name on the axis: all of a few, else some from end to end."""
    values = knob.distinct
    if knob.categorical or len(values) <= _MOST_MARKS:
        return values
    space = np.geomspace if knob.log else np.linspace
    marks = [float(mark) for mark in space(values[0], values[-1], _MOST_MARKS)]
    return [round(mark) for mark in marks] if isinstance(values[0], int) else marks


def _text(value: object) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)
