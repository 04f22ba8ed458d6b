"""FirstSteps: how long the epochs of a trial will take, told by its first steps."""

from __future__ import annotations

import time
from collections.abc import Callable

WARM_UP = 3  # steps that do not count: they fill caches and choose kernels
FEWEST = 4  # steps that tell enough
WATCHED_S = 2.0  # shorter epochs need no prediction
JUDGING = 1 / 3  # of the time of a training step is the forward pass


class FirstSteps:
    """Watches the steps of one epoch. ``clock`` gives seconds, of which only differences matter."""

    def __init__(
        self,
        num_training: int,
        num_validation: int,
        steps: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.validation_steps = steps * JUDGING * num_validation / num_training
        """How many training steps take as long as one validation."""
        self._epoch_steps = steps + self.validation_steps
        self._clock = clock
        self._began = 0.0
        self._done = False

    def epoch_s(self, taken: int) -> float | None:
        """Seconds an epoch will take, training and validation: said once, when ``taken`` steps tell, else None.

        A GPU runs behind by no more than what fits into its queue, so its clock need not be asked.
        """
        if taken == WARM_UP:
            self._began = self._clock()
        counted = taken - WARM_UP
        watched_s = self._clock() - self._began
        if self._done or counted < FEWEST or watched_s < WATCHED_S:
            return None
        self._done = True
        return watched_s / counted * self._epoch_steps
