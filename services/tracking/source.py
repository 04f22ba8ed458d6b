"""What tracking needs to know of a study; the ledger is one such source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

from services.config import StudyConfig
from services.home import Home
from services.trial_record import TrialRecord
from trials.splits import DataSplits, Labels

# {"ensemble.val_accuracy": 0.97, "test.accuracy": 0.96, …}; its presence says the study is finished
METRICS_NOTE = "tracking.metrics"
# Markdown, shown at the head of the study's run
DESCRIPTION_NOTE = "tracking.description"


class Source(Protocol):
    """A study as its ledger tells it. Called from the mirror's thread."""

    @property
    def name(self) -> str: ...

    @property
    def home(self) -> Home: ...

    @property
    def config(self) -> StudyConfig: ...

    def trials(self) -> list[TrialRecord]: ...

    def trial(self, number: int) -> TrialRecord: ...

    def note(self, key: str) -> Any | None: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class ValidationLabels:
    """What confusion matrices need: true ``labels`` (N,) of the validation split, and class names."""

    labels: Labels
    class_names: tuple[str, ...]

    @classmethod
    def of(cls, splits: DataSplits) -> Self:
        """Those of the validation split."""
        return cls(labels=splits.validation.labels, class_names=splits.class_names)
