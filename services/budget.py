"""Budget: what is left of the time and the trials that a person granted."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

# Seconds, on two cores. The fixed part stops the workers, compares strategies, selects, draws the report, registers
# and brings MLflow up to date; a member is traced into ONNX, checked and compared with the network that was trained.
FIXED_S = 11.0
EXPORT_S = 2.5
PASSES = 1.5  # over the test images at that rate, of a member that looks at each more than once
VALIDATION_PASSES = 20  # over the validation images, of the best trials' other networks and views
FORWARD = 4  # times as fast as training: without the way back, and all cores on one network
RESERVED_SHARE = 0.25
REFIT_SHARE = 0.4  # of a study's time, where its ensemble is to be refitted


@dataclass(frozen=True, kw_only=True)
class Budget:
    """``time_s`` bounds the whole command that began at ``started_s`` (since 1970); infinity leaves it open.

    ``trials`` bounds how many are trained in all, over all runs of the study.
    """

    started_s: float
    time_s: float = math.inf
    trials: int | None = None

    @property
    def left_s(self) -> float:
        """Seconds left of the whole command."""
        return self.started_s + self.time_s - time.time()


@dataclass(frozen=True, kw_only=True)
class FinishCost:
    """What follows a search takes time too: ensemble, test and export.

    ``images`` are judged in the end, at about ``images_per_s``: the rate at which such networks train,
    because one forward pass in float32 on all cores takes about as long as one training step. The ``validation``
    images are asked before, in the format that the trials were trained in.
    """

    images: int
    validation: int
    images_per_s: float

    @property
    def member_s(self) -> float:
        """Seconds that each member of the ensemble takes."""
        return EXPORT_S + PASSES * self.images / self.images_per_s

    @property
    def fixed_s(self) -> float:
        """Seconds that an ensemble of any size takes."""
        return FIXED_S + VALIDATION_PASSES * self.validation / (FORWARD * self.images_per_s)

    def reserve_s(self, members: int, time_s: float) -> float:
        """Seconds of ``time_s`` to keep back for an ensemble of that size: a quarter at most, but one member."""
        one = self.fixed_s + self.member_s
        return min(self.fixed_s + members * self.member_s, max(one, RESERVED_SHARE * time_s))

    def affordable_members(self, left_s: float, most: int) -> int:
        """How many members, 1 to ``most``, can be finished in ``left_s``."""
        return int(max(1, min(most, (left_s - self.fixed_s) / self.member_s)))
