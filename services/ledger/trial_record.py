"""TrialRecord: one trial as its ledger tells it.

A trial's configuration is kept as the plain data that was written. It becomes a ``TrialConfig`` when that is asked for,
which loads every family and with them torch; most of those who read a ledger only want numbers.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from optuna.trial import FrozenTrial

from convscout.search_space.complexity import Complexity
from convscout.services.pruners.curves import Curve
from convscout.trials.config import Measurement, TrialConfig, TrialPhase, TrialState, flatten
from convscout.trials.end_reason import EndReason
from convscout.trials.evaluation.qualities import QUALITIES, Quality

_MEASUREMENT = "measurement:"
GROWN_FROM = "grown_from"


def measurement_key(epoch: int) -> str:
    """What the ledger calls the measurement of an ``epoch``; in the order of the epochs."""
    return f"{_MEASUREMENT}{epoch:04d}"


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """What the ledger knows of one trial.

    ``plan`` is its configuration as ``TrialConfig.to_dict`` wrote it, None only for a proposal that was never
    committed. ``costs`` are those the study makes small, by objective. ``reason`` says why the trial ended as it did,
    in a few words for a person, and ``reason_code`` for a program; the code is None while it runs.
    ``worker_failures`` counts the workers that died on it, ``reopened`` how often it was let go on after it had
    ended. A contender has the number of the scout that it has ``grown_from``, if it has. Times are aware.
    """

    number: int
    state: TrialState
    attempt: int
    worker_failures: int
    reopened: int
    plan: Mapping[str, Any] | None
    complexity: Complexity | None
    costs: Mapping[str, float]
    measurements: tuple[Measurement, ...]
    reason: str
    reason_code: EndReason | None
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    grown_from: int | None = None

    @classmethod
    def of(cls, frozen: FrozenTrial) -> Self:
        """What Optuna's ``frozen`` trial holds of one."""
        attributes = frozen.user_attrs
        plan = attributes.get("config")
        ended = attributes.get("ended", {}) if frozen.state.is_finished() else {}
        reported = sorted(key for key in attributes if key.startswith(_MEASUREMENT))
        return cls(
            number=frozen.number,
            state=TrialState(ended.get("state", TrialState.RUNNING)),
            attempt=plan["attempt"] if plan else 0,
            worker_failures=attributes.get("losses", 0),
            reopened=attributes.get("reopened", 0),
            plan=plan,
            complexity=Complexity.from_dict(attributes["complexity"]) if "complexity" in attributes else None,
            costs=attributes.get("costs", {}),
            measurements=tuple(Measurement.from_dict(attributes[key]) for key in reported),
            reason=ended.get("reason", ""),
            reason_code=EndReason(ended.get("code", EndReason.UNKNOWN)) if ended else None,
            started_at=_aware(frozen.datetime_start),
            finished_at=_aware(frozen.datetime_complete),
            grown_from=attributes.get(GROWN_FROM),
        )

    @cached_property
    def config(self) -> TrialConfig | None:
        """What defines the trial, checked. Raises ``UnknownNameError`` where a plug-in that it needs is gone."""
        return TrialConfig.from_dict(self.plan) if self.plan else None

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting under a prefixed name, as ``TrialConfig.flat`` has them; none before it was committed."""
        grown = {} if self.grown_from is None else {"phase": str(self.phase), GROWN_FROM: self.grown_from}
        return flatten(self.plan) | grown if self.plan else {}

    @property
    def phase(self) -> TrialPhase:
        """In which phase of its search it is trained."""
        return TrialPhase(self.plan.get("phase", TrialPhase.CONTENDER)) if self.plan else TrialPhase.CONTENDER

    @property
    def is_scout(self) -> bool:
        """Whether it is trained briefly, to tell what is worth more."""
        return self.phase is TrialPhase.SCOUT

    @property
    def images_share(self) -> float:
        """The part of the training images that it sees."""
        return float(self.plan.get("images_share", 1.0)) if self.plan else 1.0

    @cached_property
    def best(self) -> Measurement | None:
        """The epoch that the study's objective finds best (the first of equals), or None before any."""
        return self.quality.best(self.measurements)

    @property
    def quality(self) -> Quality:
        """What epochs are judged by."""
        return QUALITIES[self.plan.get("objective", "accuracy") if self.plan else "accuracy"]

    @property
    def score(self) -> float | None:
        """What the best epoch is worth, or None before any."""
        return self.quality.value(self.best) if self.best else None

    @property
    def utility(self) -> float:
        """The score turned so that more is better, and worst of all before any."""
        return self.quality.utility(self.best) if self.best else -math.inf

    @property
    def training_s(self) -> float:
        """How long it has been trained and validated, over all its attempts."""
        return self.measurements[-1].elapsed_s if self.measurements else 0.0

    @property
    def epochs(self) -> int:
        """Those that its schedule has: of a trial whose schedule ended with the time, as many as it trained."""
        if self.measurements and self.measurements[-1].last:
            return len(self.measurements)
        return self.planned_epochs

    @property
    def planned_epochs(self) -> int:
        """Those that its schedule was to have; 0 for a proposal that was never committed."""
        return int(self.plan["recipe"]["epochs"]) if self.plan else 0

    @property
    def trained(self) -> bool:
        """Whether the trial counts against the budget: it was committed, whatever came of it."""
        return self.plan is not None and self.state is not TrialState.REJECTED

    @property
    def did_not_fit(self) -> bool:
        """Whether it was never trained only because too little was left of the budgets."""
        return self.reason_code is not None and self.reason_code.did_not_fit

    @property
    def curve(self) -> Curve | None:
        """What pruners see of the trial; None of one that never ran, or failed, and so is nobody's rival."""
        running = self.state is TrialState.RUNNING
        if self.plan is None or not (running or self.state.scored):
            return None
        return Curve(
            number=self.number,
            family=self.family,
            epochs=self.epochs,
            values=tuple(map(self.quality.utility, self.measurements)),
            costs=tuple(self.costs.values()),
            running=running,
            phase=self.phase,
        )

    @property
    def family(self) -> str:
        """The architecture family, or "?" for a proposal that was never committed."""
        return str(self.plan["architecture"]["name"]) if self.plan else "?"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, for ``--json``."""
        best = self.best
        return {
            "number": self.number,
            "state": str(self.state),
            "attempt": self.attempt,
            "family": self.family,
            "phase": str(self.phase),
            "grown_from": self.grown_from,
            "reason": self.reason,
            "reason_code": str(self.reason_code) if self.reason_code else None,
            "objective": self.quality.name,
            "score": self.score,
            "costs": dict(self.costs),
            "val_accuracy": best.val_accuracy if best else None,
            "best_epoch": best.epoch if best else None,
            "epochs": len(self.measurements),
            "complexity": self.complexity.to_dict() if self.complexity else None,
            "started_at": self.started_at.isoformat() if self.started_at else None,
            "finished_at": self.finished_at.isoformat() if self.finished_at else None,
            "settings": self.settings,
            "measurements": [m.to_dict() for m in self.measurements],
        }


def _aware(moment: datetime.datetime | None) -> datetime.datetime | None:
    return moment.astimezone() if moment else None  # Optuna stores local time without a zone
