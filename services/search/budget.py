"""Budget: what is left of the time and the trials that a person granted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from convscout.trials.training.machine_speed import MachineSpeed

# Seconds, on two cores that need ``USUAL_INTERPRETER_S`` (``trials/training/machine_speed.py``). The fixed part
# stops the workers, compares strategies, selects, draws the report, registers and brings MLflow up to date; a member
# is traced into ONNX, checked and compared with the network that was trained.
FIXED_S = 13.0
EXPORT_S = 2.5
PASSES = 1.5  # over the test images, of a member that looks at each more than once
VALIDATION_PASSES = 4  # over the validation images, of a trial's other networks and views
RESERVED_SHARE = 0.25
REFIT_SHARE = 0.4  # of a study's time, where its ensemble is to be refitted


@dataclass(frozen=True, kw_only=True)
class Budget:
    """``time_s`` bounds the whole command that began at ``started_s`` (since 1970); infinity leaves it open.

    ``trials`` bounds how many are trained in all, over all runs of the study. ``clock`` gives seconds since 1970.
    """

    started_s: float
    time_s: float = math.inf
    trials: int | None = None
    clock: Callable[[], float] = time.time

    @property
    def left_s(self) -> float:
        """Seconds left of the whole command."""
        return self.started_s + self.time_s - self.clock()


@dataclass(frozen=True, kw_only=True)
class FinishCost:
    """What follows a search takes time too: ensemble, test and export.

    ``images`` are judged in the end, and the ``validation`` images are asked before. Networks train at about
    ``images_per_s``, on one thread; they answer, on all, ``answering`` times as fast in the format that they were
    trained in, and ``exactly`` times in float32. Everything else takes ``overhead`` times as long as usual.
    """

    images: int
    validation: int
    images_per_s: float
    answering: float = 4.0
    exactly: float = 1.0
    overhead: float = 1.0

    def on(self, speed: MachineSpeed) -> Self:
        """The same on a machine of that ``speed``."""
        return replace(self, answering=speed.answering, exactly=speed.exactly, overhead=speed.overhead)

    @property
    def member_s(self) -> float:
        """Seconds that each member of the ensemble takes."""
        passes = PASSES * self.images / self.exactly + VALIDATION_PASSES * self.validation / self.answering
        return self.overhead * EXPORT_S + passes / self.images_per_s

    @property
    def fixed_s(self) -> float:
        """Seconds that an ensemble of any size takes."""
        return self.overhead * FIXED_S

    def reserve_s(self, members: int, time_s: float) -> float:
        """Seconds of ``time_s`` to keep back for an ensemble of that size: a quarter at most, but one member."""
        one = self.fixed_s + self.member_s
        return min(self.fixed_s + members * self.member_s, max(one, RESERVED_SHARE * time_s))

    def affordable_members(self, left_s: float, most: int) -> int:
        """How many members, 1 to ``most``, can be finished in ``left_s``."""
        return int(max(1, min(most, (left_s - self.fixed_s) / self.member_s)))
