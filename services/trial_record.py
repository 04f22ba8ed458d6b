"""TrialRecord: one trial as its ledger tells it."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from optuna.trial import FrozenTrial

from search_space.complexity import Complexity
from services.curves import Curve
from trials.config import Measurement, TrialConfig, TrialState
from trials.qualities import QUALITIES, Quality

_MEASUREMENT = "measurement:"


def measurement_key(epoch: int) -> str:
    """What the ledger calls the measurement of an ``epoch``; in the order of the epochs."""
    return f"{_MEASUREMENT}{epoch:04d}"


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """What the ledger knows of one trial.

    ``config`` is None only for a proposal that was never committed. ``costs`` are those the study makes
    small, by objective. ``reason`` says why the trial ended as it did, in a few words. ``losses`` counts the
    workers that died on it, ``reopened`` how often it was let go on after it had ended. Times are aware.
    """

    number: int
    state: TrialState
    attempt: int
    losses: int
    reopened: int
    config: TrialConfig | None
    complexity: Complexity | None
    costs: Mapping[str, float]
    measurements: tuple[Measurement, ...]
    reason: str
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None

    @classmethod
    def of(cls, frozen: FrozenTrial) -> Self:
        """What Optuna's ``frozen`` trial holds of one."""
        attributes = frozen.user_attrs
        config = TrialConfig.from_dict(attributes["config"]) if "config" in attributes else None
        ended = attributes.get("ended", {}) if frozen.state.is_finished() else {}
        reported = sorted(key for key in attributes if key.startswith(_MEASUREMENT))
        return cls(
            number=frozen.number,
            state=TrialState(ended.get("state", TrialState.RUNNING)),
            attempt=config.attempt if config else 0,
            losses=attributes.get("losses", 0),
            reopened=attributes.get("reopened", 0),
            config=config,
            complexity=Complexity.from_dict(attributes["complexity"]) if "complexity" in attributes else None,
            costs=attributes.get("costs", {}),
            measurements=tuple(Measurement.from_dict(attributes[key]) for key in reported),
            reason=ended.get("reason", ""),
            started_at=_aware(frozen.datetime_start),
            finished_at=_aware(frozen.datetime_complete),
        )

    @cached_property
    def best(self) -> Measurement | None:
        """The epoch that the study's objective finds best (the first of equals), or None before any."""
        return self.quality.best(self.measurements)

    @property
    def quality(self) -> Quality:
        """What epochs are judged by."""
        return QUALITIES[self.config.objective if self.config else "accuracy"]

    @property
    def score(self) -> float | None:
        """What the best epoch is worth, or None before any."""
        return self.quality.value(self.best) if self.best else None

    @property
    def goodness(self) -> float:
        """The score turned so that more is better, and worst of all before any."""
        return self.quality.goodness(self.best) if self.best else -math.inf

    @property
    def training_s(self) -> float:
        """How long it has been trained and validated, over all its attempts."""
        return self.measurements[-1].elapsed_s if self.measurements else 0.0

    @property
    def epochs(self) -> int:
        """Those that its schedule has: of a trial whose schedule ended with the time, as many as it trained."""
        if self.measurements and self.measurements[-1].last:
            return len(self.measurements)
        return self.config.recipe.epochs if self.config else 0

    @property
    def trained(self) -> bool:
        """Whether the trial counts against the budget: it was committed, whatever came of it."""
        return self.config is not None and self.state is not TrialState.REJECTED

    @property
    def curve(self) -> Curve | None:
        """What pruners see of the trial; None of one that never ran, or failed, and so is nobody's rival."""
        running = self.state is TrialState.RUNNING
        if self.config is None or not (running or self.state.judged):
            return None
        return Curve(
            number=self.number,
            family=self.family,
            epochs=self.epochs,
            values=tuple(map(self.quality.goodness, self.measurements)),
            costs=tuple(self.costs.values()),
            running=running,
        )

    @property
    def family(self) -> str:
        """The architecture family, or "?" for a proposal that was never committed."""
        return self.config.architecture.name if self.config else "?"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, for ``--json``."""
        best = self.best
        return {
            "number": self.number,
            "state": str(self.state),
            "attempt": self.attempt,
            "family": self.family,
            "reason": self.reason,
            "objective": self.quality.name,
            "score": self.score,
            "costs": dict(self.costs),
            "val_accuracy": best.val_accuracy if best else None,
            "best_epoch": best.epoch if best else None,
            "epochs": len(self.measurements),
            "complexity": self.complexity.to_dict() if self.complexity else None,
            "started_at": self.started_at.isoformat() if self.started_at else None,
            "finished_at": self.finished_at.isoformat() if self.finished_at else None,
            "settings": self.config.flat() if self.config else {},
            "measurements": [m.to_dict() for m in self.measurements],
        }


def _aware(moment: datetime.datetime | None) -> datetime.datetime | None:
    return moment.astimezone() if moment else None  # Optuna stores local time without a zone
