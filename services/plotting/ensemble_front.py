"""Accuracy of ensembles against what they cost, above the single networks that they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from convscout.services.ensembles.front import EnsembleCost, FrontPoint
from convscout.services.ensembles.library import Library
from convscout.services.plotting.style import BEST_COLOUR, mark_logarithmic
from convscout.trials.evaluation.metrics import accuracy

_DPI = 100


def write_front(
    study: str, library: Library, front: Sequence[FrontPoint], cost: EnsembleCost, path: Path
) -> None:
    """Draw the ``front`` and the candidates of ``library`` into ``path``, a PNG."""
    figure = Figure(figsize=(9, 5.2))
    figure.subplots_adjust(left=0.09, right=0.97, bottom=0.12, top=0.9)
    axes = figure.subplots()
    across = [cost.of(member) for member in library.candidates]
    singles = [accuracy(member.probabilities, library.labels) for member in library.candidates]
    costs, accuracies = [point.cost for point in front], [point.ensemble.score.accuracy for point in front]
    axes.scatter(across, singles, s=24, color="tab:gray", alpha=0.6, label="single networks")
    axes.plot(costs, accuracies, color=BEST_COLOUR, marker="o", drawstyle="steps-post", label="ensembles")
    for point in front:
        size = len(point.ensemble.members)
        axes.annotate(
            f"{size}", (point.cost, point.ensemble.score.accuracy), (0, 7), textcoords="offset points",
            ha="center", fontsize=8,
        )  # fmt: skip
    mark_logarithmic(axes.xaxis, [*across, *costs])
    axes.margins(y=0.1)
    axes.set_xlabel(cost.label)
    axes.set_ylabel("validation accuracy")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", frameon=False)
    figure.suptitle(
        f"{study}: the best ensemble at each cost, and how many members it has", x=0.01, ha="left"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI)
