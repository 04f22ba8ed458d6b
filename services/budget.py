"""Budget: what is left of the time and the trials that a person granted."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Budget:
    """``deadline`` (seconds since 1970) bounds the whole command, None leaves it open.

    ``reserve_s`` of it belongs to what follows the search: ensemble, test and export. ``trials``
    bounds how many are trained in all, over all runs of the study.
    """

    deadline: float | None = None
    reserve_s: float = 0.0
    trials: int | None = None

    @property
    def total_left_s(self) -> float | None:
        """Seconds left of the whole command, or None when it is not bounded."""
        return None if self.deadline is None else self.deadline - time.time()

    @property
    def training_left_s(self) -> float:
        """Seconds left for training; infinite when time is not bounded."""
        left = self.total_left_s
        return float("inf") if left is None else left - self.reserve_s


def reserve_for(time_s: float) -> float:
    """Seconds to keep back of a command of ``time_s`` for the ensemble, the test and the export.

    A fixed cost (tracing and verifying the exported networks) and a share that grows with the study.
    """
    return min(0.5 * time_s, 20 + 0.05 * time_s)
