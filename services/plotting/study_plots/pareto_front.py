"""What a score costs: that of each trial against its size and its training time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.plotting.columns import (
    PARAMS,
    TRAINING_TIME,
    Column,
    Point,
    cost_of,
    front_of,
    score_of,
)
from convscout.services.plotting.style import (
    BEST_COLOUR,
    Colour,
    family_colours,
    mark_logarithmic,
    mark_score,
)
from convscout.services.plotting.view import StudyView
from convscout.services.plugins import study_plots


@study_plots.register("pareto-front")
def accuracy_against_cost(study: StudyView) -> Figure | None:
    """The judged trials by score and by each cost, with those that none surpasses in both.

    The costs are those that the study makes small, or else the size, and always the training time.
    """
    if not study.scored:
        return None
    score = score_of(study.quality)
    costs = [*map(cost_of, study.scored[0].costs)] or [PARAMS]
    costs.append(TRAINING_TIME)
    figure = Figure(figsize=(13, 4.8))
    figure.subplots_adjust(left=0.06, right=0.86, bottom=0.13, top=0.9, wspace=0.06)
    panels = figure.subplots(1, len(costs), sharey=True)
    colours = family_colours(study.records)
    for axes, cost in zip(panels, costs, strict=True):
        draw_front(axes, study.scored, cost, score, colours)
        axes.label_outer()
    mark_score(
        panels[0], [value for record in study.scored if (value := record.score) is not None], study.quality
    )
    panels[-1].legend(loc="upper left", bbox_to_anchor=(1.01, 1.02), fontsize=8, frameon=False)
    return figure


def draw_front(
    axes: Axes, records: Sequence[TrialRecord], x: Column, y: Column, colours: Mapping[str, Colour]
) -> None:
    """Show ``records`` by two columns, coloured by family, and the front that none surpasses in both."""
    points: dict[str, list[Point]] = defaultdict(list)
    for record in records:
        place = x.of(record), y.of(record)
        if place[0] is not None and place[1] is not None:
            points[record.family].append((place[0], place[1]))
    every = [point for of in points.values() for point in of]
    if not every:
        return
    size = 36 if len(every) <= 100 else 12
    for column, axis, values in zip((x, y), (axes.xaxis, axes.yaxis), zip(*every, strict=True), strict=True):
        axis.set_label_text(column.label)
        if column.log:
            mark_logarithmic(axis, values)
    for family, of in sorted(points.items()):
        across, up = zip(*of, strict=True)
        axes.scatter(across, up, s=size, color=colours[family], alpha=0.7, label=family)
    axes.plot(
        *zip(*front_of(every, x, y), strict=True),
        color=BEST_COLOUR,
        drawstyle="steps-post",
        linewidth=1.2,
        marker="o",
        markerfacecolor="none",
        markersize=8,
        label="not surpassed",
    )
    axes.grid(alpha=0.3)
