"""What is known of a study, for the sections of its story."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from convscout.services.config.study_config import StudyConfig
from convscout.services.config.study_ref import StudyRef
from convscout.services.events.events import Listener
from convscout.services.ledger.ledger import Ledger
from convscout.services.ledger.ranking import rank
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.plotting.view import StudyView
from convscout.services.plugins import study_plots
from convscout.services.report.document import Picture, draw
from convscout.services.studies.outcome import Outcome
from convscout.trials.data.splits import DataSplits


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyFacts:
    """A study and what it came to. ``splits`` are None where the images cannot be read any more."""

    ledger: Ledger
    records: Sequence[TrialRecord]
    outcome: Outcome | None
    splits: DataSplits | None
    listener: Listener

    @property
    def ref(self) -> StudyRef:
        """Which study it is."""
        return self.ledger.ref

    @property
    def name(self) -> str:
        """Of the study."""
        return self.ledger.name

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
        return rank(self.view.scored)

    def score(self, record: TrialRecord) -> str:
        """What a trial is worth, for a person."""
        return "" if record.score is None else record.quality.text(record.score)

    def plot(self, name: str, says: str) -> list[Picture]:
        """The study plot called ``name``, or nothing where there are too few trials for it."""
        figure = study_plots.get(name)(self.view)
        return [draw(figure, name, says)] if figure else []
