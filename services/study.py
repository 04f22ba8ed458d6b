"""The study ledger over Optuna's storage: the only record of what was proposed, committed and judged.

Life of a trial here: ``propose`` (ask) → ``commit`` (from now on it survives a crash) or ``reject`` →
``report`` an epoch at a time → ``finish`` (idempotent). ``adopt`` takes an unfinished one up again
under the same number with the next attempt; a late word of an older attempt is ignored.

This is the one module that touches Optuna's private parts (``study._storage``, ``trial._trial_id``).
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial
from optuna.trial import TrialState as OptunaState

from search_space.complexity import Complexity
from search_space.errors import ConvscoutError, StaleAttemptError, StudyNotFoundError
from search_space.space import Candidate, SearchSpace
from services.home import Home
from trials.config import Measurement, TrialConfig, TrialState

_MEASUREMENT = "measurement:"
_OPTUNA_STATE = {
    TrialState.COMPLETED: OptunaState.COMPLETE,
    TrialState.STOPPED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
    TrialState.REJECTED: OptunaState.FAIL,
}


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """What the ledger knows of one trial.

    ``config`` is None only for a proposal that was never committed. ``reason`` says why the trial
    ended as it did, in a few words. Times are aware datetimes.
    """

    number: int
    state: TrialState
    attempt: int
    config: TrialConfig | None
    complexity: Complexity | None
    measurements: tuple[Measurement, ...]
    reason: str
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None

    @property
    def best(self) -> Measurement | None:
        """The epoch with the highest validation accuracy (the first of equals), or None before any."""
        return max(self.measurements, key=lambda m: (m.val_accuracy, -m.epoch), default=None)

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
            "val_accuracy": best.val_accuracy if best else None,
            "best_epoch": best.epoch if best else None,
            "epochs": len(self.measurements),
            "complexity": self.complexity.to_dict() if self.complexity else None,
            "started_at": self.started_at.isoformat() if self.started_at else None,
            "finished_at": self.finished_at.isoformat() if self.finished_at else None,
            "settings": self.config.flat() if self.config else {},
            "measurements": [m.to_dict() for m in self.measurements],
        }
