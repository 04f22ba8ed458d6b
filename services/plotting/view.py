"""StudyView: the trials of a study as its plots see them; what several of them need is computed once.

They are drawn beside the training, so without pyplot, whose state is not made for threads, and without an automatic
layout, which would take more time than the drawing. A plot is a function of the view, registered with
``@study_plots.register(NAME)``:

    from convscout.services.plugins import study_plots
    from matplotlib.figure import Figure

    @study_plots.register("scores")
    def scores(study):
        if not study.scored:
            return None
        figure = Figure(figsize=(9, 4))
        figure.subplots_adjust(top=0.88)
        axes = figure.subplots()
        axes.scatter([trial.number for trial in study.scored], [trial.score for trial in study.scored])
        axes.set(xlabel="trial", ylabel=study.quality.name)
        return figure
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.plotting.knobs import ObservedKnob, importances, observed_knobs
from convscout.services.plotting.search_time import SearchTime
from convscout.trials.evaluation.qualities import QUALITIES, Quality

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class StudyView:
    """The trials that were trained, by number; some may be running still."""

    def __init__(self, records: Sequence[TrialRecord]) -> None:
        self.records = [record for record in records if record.trained]

    @property
    def epochs(self) -> int:
        """How many were trained in all."""
        return sum(len(record.measurements) for record in self.records)

    @property
    def quality(self) -> Quality:
        """What the trials are judged by."""
        return self.records[0].quality if self.records else QUALITIES["accuracy"]

    @cached_property
    def scored(self) -> list[TrialRecord]:
        """The trials with a final score."""
        return [record for record in self.records if record.state.scored and record.best]

    @cached_property
    def knobs(self) -> dict[str, ObservedKnob]:
        """The knobs of the judged trials that had at least two values, by full name."""
        return observed_knobs(self.scored)

    @cached_property
    def importances(self) -> dict[str, float]:
        """The share of each knob, the most important first; empty with too few judged trials to tell."""
        return importances(self.scored, self.knobs)

    @cached_property
    def time(self) -> SearchTime:
        """When things happened."""
        return SearchTime(self.records)


StudyPlot: TypeAlias = "Callable[[StudyView], Figure | None]"
"""None where there are too few trials for it. It leaves the view as it is, and the top of its figure to a title."""
