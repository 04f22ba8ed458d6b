"""Pace: how long an epoch of a candidate will take, told from the epochs already trained here."""

from __future__ import annotations

from statistics import median

from search_space.complexity import Complexity
from trials.config import Measurement

_KEPT = 200


class Pace:
    """Learns seconds an epoch against activations and multiply-adds of an image, for one dataset on one machine.

    Activations predict the runtime of a network on a GPU (Radosavovic et al., 2020, "Designing Network Design
    Spaces", section 4); on a CPU multiply-adds matter as much, and wide networks have many of them for their
    activations. An estimate is deliberately high rather than low: of two networks the one with k times of either takes
    at most about k times as long, and never less than the smaller. Each epoch seen bounds a candidate in this
    way, and the lowest bound is the estimate.
    """

    def __init__(self) -> None:
        self._seen: list[tuple[Complexity, float]] = []  # what was trained, and seconds an epoch
        self._rates: list[float] = []

    def observe(self, complexity: Complexity, previous: Measurement | None, latest: Measurement) -> None:
        """Learn from one epoch; ``previous`` is the measurement before it in the same trial.

        Where an attempt went on from a checkpoint before ``previous``, the clock of the trial was set back, and the
        time between the two says nothing.
        """
        epoch_s = latest.elapsed_s - (previous.elapsed_s if previous else 0.0)
        if epoch_s > 0:
            self.expect(complexity, epoch_s)
        self._rates = [*self._rates[-_KEPT:], latest.images_per_s]

    def expect(self, complexity: Complexity, epoch_s: float) -> None:
        """Learn how many seconds an epoch will take that has only begun."""
        self._seen = [*self._seen[-_KEPT:], (complexity, epoch_s)]

    def epoch_s(self, complexity: Complexity) -> float | None:
        """Seconds an epoch of such a candidate takes, or None while nothing was seen."""
        return min((seconds * _times(complexity, seen) for seen, seconds in self._seen), default=None)

    @property
    def median_epoch_s(self) -> float | None:
        """Seconds that an epoch took, or None while nothing was seen."""
        return median(seconds for _, seconds in self._seen) if self._seen else None

    @property
    def images_per_s(self) -> float | None:
        """The median rate of training, or None while nothing was seen."""
        return median(self._rates) if self._rates else None


def _times(larger: Complexity, seen: Complexity) -> float:
    """How many times as long as the one that was seen ``larger`` takes at most; once if it is smaller."""
    ratios = (larger.activations / max(seen.activations, 1), larger.flops / max(seen.flops, 1))
    return max(1.0, *ratios)
