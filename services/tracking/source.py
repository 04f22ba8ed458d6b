"""What tracking needs to know of a study; the ledger is one such source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from convscout.services.config.home import Home
from convscout.services.config.study_config import StudyConfig
from convscout.services.config.study_ref import StudyRef
from convscout.services.ledger.trial_record import TrialRecord
from convscout.trials.data.splits import DataSplits, Labels

METRICS_NOTE = "tracking.metrics"  # an ``OutcomeMetrics``; its presence says the study is finished
# Markdown, shown at the head of the study's run
DESCRIPTION_NOTE = "tracking.description"


class TrackedStudy(Protocol):
    """A study as its ledger tells it. Called from the mirror's thread."""

    @property
    def ref(self) -> StudyRef: ...

    @property
    def name(self) -> str: ...

    @property
    def home(self) -> Home: ...

    @property
    def config(self) -> StudyConfig: ...

    def trials(self) -> list[TrialRecord]: ...

    def trial(self, number: int) -> TrialRecord: ...

    def note(self, key: str) -> Any | None: ...


@dataclass(frozen=True, kw_only=True)
class OutcomeMetrics:
    """What a study came to, by the names that MLflow shows, and when that was found, in milliseconds since 1970.

    MLflow shows the latest of several values, and of those of one moment the largest, so the moment must be the
    outcome's own.
    """

    values: Mapping[str, float]
    at_ms: int | None = None

    @classmethod
    def of(cls, source: TrackedStudy) -> Self | None:
        """Those of a study; None while it has none. Earlier versions kept the values alone."""
        note = source.note(METRICS_NOTE)
        if note is None:
            return None
        return cls(**note) if "values" in note else cls(values=note)

    def to_note(self) -> dict[str, Any]:
        """What the ledger keeps."""
        return {"values": dict(self.values), "at_ms": self.at_ms}


@dataclass(frozen=True, kw_only=True, eq=False)
class ValidationLabels:
    """What confusion matrices need: true ``labels`` (N,) of the validation split, and class names."""

    labels: Labels
    class_names: tuple[str, ...]

    @classmethod
    def of(cls, splits: DataSplits) -> Self:
        """Those of the validation split."""
        return cls(labels=splits.validation.labels, class_names=splits.class_names)
