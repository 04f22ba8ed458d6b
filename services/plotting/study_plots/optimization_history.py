"""How the best score rose, over the trials and over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convscout.services.plotting.style import BEST_COLOUR, STATE_COLOURS, count_along, mark_score
from convscout.services.plotting.view import StudyView
from convscout.services.plugins import study_plots
from convscout.trials.config import TrialState
from convscout.trials.evaluation.qualities import Quality

Point = tuple[float, float, TrialState]  # where, score, state


@study_plots.register("optimization-history")
def optimization_history(study: StudyView) -> Figure | None:
    """Each trial's score and the best so far, by number and by the moment the trial ended."""
    by_number, by_time = list[Point](), list[Point]()
    for record in study.records:
        span, score = study.time.span(record), record.score
        if span and score is not None and record.state is not TrialState.FAILED:
            by_number.append((record.number, score, record.state))
            by_time.append((span[1], score, record.state))
    if not by_number:
        return None
    figure = Figure(figsize=(12, 4.6))
    figure.subplots_adjust(left=0.065, right=0.985, bottom=0.13, top=0.9, wspace=0.06)
    left, right = figure.subplots(1, 2, sharey=True)
    _draw(left, by_number, study.quality)
    _draw(right, by_time, study.quality)
    right.set_ylabel("")
    count_along(left, "trial")
    right.set_xlabel(f"time ({study.time.unit})")
    right.set_xlim(left=0)
    right.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=6, frameon=False, fontsize=9)
    return figure


def _draw(axes: Axes, points: Sequence[Point], quality: Quality) -> None:
    where, scores, states = zip(*sorted(points), strict=True)
    sign = 1 if quality.maximize else -1
    worst = mark_score(axes, scores, quality)
    shown = sign * np.array(scores) >= sign * worst
    size = 36 if len(points) <= 100 else 12
    for state, colour in STATE_COLOURS.items():
        chosen = shown & np.array([each is state for each in states])
        if chosen.any():
            across, up = np.array(where)[chosen], np.array(scores)[chosen]
            axes.scatter(across, up, s=size, color=colour, alpha=0.7, label=str(state))
    if not shown.all():
        label = f"worse than {quality.text(worst)}"
        across = np.array(where)[~shown]
        axes.plot(
            across, np.full(len(across), worst), "v", color="tab:gray", ms=5, clip_on=False, label=label
        )
    best = sign * np.maximum.accumulate(sign * np.array(scores))
    axes.step(where, best, where="post", color=BEST_COLOUR, linewidth=1.6, label="best so far")
