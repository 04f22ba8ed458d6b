"""How each trial learnt, epoch by epoch; who was stopped is seen where its curve ends."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convscout.services.plotting.style import STATE_COLOURS, family_colours, mark_score
from convscout.services.plotting.view import StudyView
from convscout.services.plugins import study_plots
from convscout.trials.config import TrialState

_MOST_BOLD = 40  # curves that can be told from one another


@study_plots.register("learning-curves")
def learning_curves(study: StudyView) -> Figure | None:
    """The score after each epoch, in the colour of the family; a cross where a trial was stopped."""
    curves = [record for record in study.records if record.measurements]
    if not curves:
        return None
    figure = Figure(figsize=(10, 5))
    figure.subplots_adjust(left=0.08, right=0.82, bottom=0.12, top=0.9)
    axes = figure.subplots()
    few = len(curves) <= _MOST_BOLD
    scores, colours = [], family_colours(study.records)
    for record in curves:
        values = [study.quality.value(measured) for measured in record.measurements]
        epochs = [measured.epoch for measured in record.measurements]
        scores += values
        colour = colours[record.family]
        axes.plot(epochs, values, color=colour, alpha=0.9 if few else 0.35, linewidth=1.5 if few else 0.8)
        ended = record.state in (TrialState.STOPPED, TrialState.FAILED)
        if ended and few:
            axes.plot(epochs[-1], values[-1], "x", color=STATE_COLOURS[record.state], ms=7, mew=1.6)
    mark_score(axes, scores, study.quality)
    axes.set(xlabel="epoch", xlim=(0.5, None))
    axes.grid(alpha=0.3)
    handles = [
        Line2D([], [], color=colour, label=family)
        for family, colour in colours.items()
        if any(record.family == family for record in curves)
    ]
    if few:
        handles += [
            Line2D([], [], color=STATE_COLOURS[state], marker="x", linestyle="", label=str(state))
            for state in (TrialState.STOPPED, TrialState.FAILED)
            if any(record.state is state for record in curves)
        ]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8, frameon=False)
    return figure
