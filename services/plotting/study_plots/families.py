"""What each family was given and what it made of that, over time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from convscout.services.plotting.style import Colour, family_colours, mark_score
from convscout.services.plotting.view import StudyView
from convscout.services.plugins import study_plots
from convscout.trials.config import TrialState
from convscout.trials.evaluation.qualities import Quality

Epoch = tuple[float, float]  # when it ended, how good it was (more is better; -inf in a failed trial)


@study_plots.register("families")
def families(study: StudyView) -> Figure | None:
    """Epochs trained in each family, stacked, and the best score of each so far."""
    epochs = _epochs(study)
    if not any(math.isfinite(utility) for of in epochs.values() for _, utility in of):
        return None
    figure = Figure(figsize=(13, 4.8))
    figure.subplots_adjust(left=0.055, right=0.86, bottom=0.13, top=0.9, wspace=0.16)
    given, best = figure.subplots(1, 2)
    colours = family_colours(study.records)
    _draw_epochs(given, epochs, colours)
    _draw_best(best, epochs, colours, study.quality)
    for axes in (given, best):
        axes.set(xlabel=f"time ({study.time.unit})", xlim=(0, None))
        axes.grid(alpha=0.3)
    return figure


def _epochs(study: StudyView) -> dict[str, list[Epoch]]:
    """Every epoch of each family, in the order they ended."""
    epochs: dict[str, list[Epoch]] = defaultdict(list)
    for record in study.records:
        counts = record.state is not TrialState.FAILED
        for measured in record.measurements:
            moment = study.time.of_epoch(record, measured.elapsed_s)
            utility = study.quality.utility(measured) if counts else -math.inf
            epochs[record.family].append((moment, utility))
    return {family: sorted(of) for family, of in epochs.items()}


def _draw_epochs(axes: Axes, epochs: Mapping[str, list[Epoch]], colours: Mapping[str, Colour]) -> None:
    moments = np.array(sorted({0.0, *(moment for of in epochs.values() for moment, _ in of)}))  # (T,)
    counts = [np.searchsorted([moment for moment, _ in of], moments, side="right") for of in epochs.values()]
    axes.stackplot(moments, counts, colors=[colours[family] for family in epochs])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("epochs trained, stacked by family")


def _draw_best(
    axes: Axes, epochs: Mapping[str, list[Epoch]], colours: Mapping[str, Colour], quality: Quality
) -> None:
    """The best family comes first in the legend."""
    sign = 1 if quality.maximize else -1
    end = max(moment for of in epochs.values() for moment, _ in of)
    for family, of in sorted(epochs.items(), key=lambda item: -max(utility for _, utility in item[1])):
        where, utility = zip(*of, (end, -math.inf), strict=True)
        best = np.maximum.accumulate(utility)
        if math.isfinite(best[-1]):
            label = f"{family} {quality.text(sign * best[-1])}"
            axes.step(where, sign * best, where="post", color=colours[family], linewidth=1.8, label=label)
    every = [sign * utility for of in epochs.values() for _, utility in of if math.isfinite(utility)]
    mark_score(axes, every, quality, best=True)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.02), fontsize=8, frameon=False)
