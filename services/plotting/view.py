"""StudyView: the trials of a study as its plots see them; what several of them need is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from services.plotting.knobs import ObservedKnob, importances, observed_knobs
from services.plotting.style import Colour, SearchTime, family_colours
from services.trial_record import TrialRecord
from trials.qualities import QUALITIES, Quality


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
    def judged(self) -> list[TrialRecord]:
        """The trials with a final score."""
        return [record for record in self.records if record.state.judged and record.best]

    @cached_property
    def knobs(self) -> dict[str, ObservedKnob]:
        """The knobs of the judged trials that had at least two values, by full name."""
        return observed_knobs(self.judged)

    @cached_property
    def importances(self) -> dict[str, float]:
        """The share of each knob, the most important first; empty with too few judged trials to tell."""
        return importances(self.judged, self.knobs)

    @cached_property
    def time(self) -> SearchTime:
        """When things happened."""
        return SearchTime(self.records)

    @cached_property
    def colours(self) -> dict[str, Colour]:
        """Of each family, by name."""
        return family_colours(self.records)
