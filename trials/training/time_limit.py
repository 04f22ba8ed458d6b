"""TimeLimit: how far the clock has brought the schedule of a trial that must end with the time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

SAVING_S = 0.5  # for what is left once the last epoch is validated: its files, and the word of it


class TimeLimit:
    """``time_s`` seconds from now, validation and files included; infinity for a schedule that only counts epochs.

    A ``gradual`` limit moves the schedule on with the clock, so that the learning rate is annealed when the time
    ends; another only ends it, and what comes before does not depend on the clock. ``clock`` gives seconds, of which
    only differences matter.
    """

    def __init__(
        self, time_s: float = math.inf, *, gradual: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._time_s = time_s
        self._gradual = gradual
        self._clock = clock
        self._began = clock()
        self.validation_s = 0.0
        """How long the last validation will take, as far as one can tell."""

    def progress(self, since: float, step_s: float) -> float:
        """Share in [0, 1] of the schedule that the clock will have ended after one more step of ``step_s``.

        ``since`` is the share that was over when the limit began, in an earlier attempt.
        """
        usable_s = self._time_s - self.validation_s - SAVING_S
        elapsed_s = self._clock() - self._began + step_s
        if elapsed_s >= usable_s:
            return 1.0
        return since + (1 - since) * elapsed_s / usable_s if self._gradual else 0.0
