"""What is known of a study, for the sections of its story."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from services.config import StudyConfig
from services.events import Listener
from services.finish import Outcome
from services.home import Home
from services.plotting.registry import study_plots
from services.plotting.view import StudyView
from services.story.document import Picture, drawn
from services.study import Ledger
from services.trial_record import TrialRecord
from trials.splits import DataSplits


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyFacts:
    """A study and what it came to. ``splits`` are None where the images cannot be read any more."""

    ledger: Ledger
    records: Sequence[TrialRecord]
    outcome: Outcome | None
    splits: DataSplits | None
    listener: Listener

    @property
    def name(self) -> str:
        """Of the study."""
        return self.ledger.name

    @property
    def home(self) -> Home:
        """Where it lies."""
        return self.ledger.home

    @property
    def config(self) -> StudyConfig:
        """What was asked of it."""
        return self.ledger.config

    @cached_property
    def view(self) -> StudyView:
        """The trials that were trained."""
        return StudyView(self.records)

    @cached_property
    def ranking(self) -> list[TrialRecord]:
        """The judged trials, the best first."""
        return sorted(self.view.judged, key=lambda record: -record.goodness)

    def score(self, record: TrialRecord) -> str:
        """What a trial is worth, for a person."""
        return "" if record.score is None else record.quality.text(record.score)

    def plot(self, name: str, says: str) -> list[Picture]:
        """The study plot called ``name``, or nothing where there are too few trials for it."""
        figure = study_plots.get(name)(self.view)
        return [drawn(figure, name, says)] if figure else []
