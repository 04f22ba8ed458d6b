"""RuntimeModel: how long an epoch of a candidate takes, told by reference networks and by epochs trained here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from convscout.search_space.complexity import Complexity
from convscout.trials.config import Measurement
from convscout.trials.training.first_steps import JUDGING
from convscout.trials.training.machine_speed import BATCH_SIZE, MachineSpeed

_KEPT = 200


@dataclass(frozen=True, kw_only=True)
class KnownNetwork:
    """What one costs, and the seconds that go into an epoch's images and into its steps, whatever their size."""

    complexity: Complexity
    images_s: float
    steps_s: float


class RuntimeModel:
    """Learns seconds an epoch against what networks cost, for one dataset on one machine.

    Activations predict the runtime of a network on a GPU (Radosavovic et al., 2020, "Designing Network Design
    Spaces", section 4); on a CPU multiply-adds matter as much, and wide networks have many of them for their
    activations. An estimate is deliberately high rather than low: of two networks the one with k times of either takes
    at most about k times as long, and never less than the smaller. Each epoch seen bounds a candidate in this
    way, and the lowest bound is the estimate.

    Before any epoch was seen, the ``references`` of the machine tell, which train at about ``images_per_s``: a sum of
    what multiply-adds and activations of the images take, parameters in a step of the optimizer, and the step itself,
    fitted to them. Where the epochs that are seen take longer, the machine has other work, and all counts for as much
    slower.
    """

    def __init__(self, references: Iterable[KnownNetwork] = (), images_per_s: float | None = None) -> None:
        known = list(references)
        self._per_image = _fit([_image_terms(each.complexity) for each in known], [e.images_s for e in known])
        self._per_step = _fit([_step_terms(each.complexity) for each in known], [e.steps_s for e in known])
        self.expected_images_per_s = images_per_s
        self._seen: list[tuple[Complexity, float]] = []  # what was trained, and seconds an epoch
        self._rates: list[float] = []

    @classmethod
    def on(cls, speed: MachineSpeed, *, training: int, validation: int, threads: int = 1) -> RuntimeModel:
        """That of so many images on a machine of that ``speed``, before anything was trained on so many ``threads``."""
        images = training + JUDGING * validation
        known = [
            KnownNetwork(
                complexity=each.complexity,
                images_s=images * each.image_s / threads,
                steps_s=math.ceil(training / BATCH_SIZE) * each.step_s,
            )
            for each in speed.references
        ]
        return cls(known, images_per_s=threads * speed.main.images_per_s)

    def observe(
        self, complexity: Complexity, previous: Measurement | None, latest: Measurement, *, share: float = 1.0
    ) -> None:
        """Learn from one epoch; ``previous`` is the measurement before it in the same trial.

        It took about that ``share`` of an epoch of all images.

        Where an attempt went on from a checkpoint before ``previous``, the clock of the trial was set back, and the
        time between the two says nothing; nor does that of an epoch that the time ended.
        """
        epoch_s = latest.elapsed_s - (previous.elapsed_s if previous else 0.0)
        if epoch_s > 0 and latest.share == 1:
            self.expect(complexity, epoch_s / share)
        self._rates = [*self._rates[-_KEPT:], latest.images_per_s]

    def expect(self, complexity: Complexity, epoch_s: float) -> None:
        """Learn how many seconds an epoch will take that has only begun."""
        self._seen = [*self._seen[-_KEPT:], (complexity, epoch_s)]

    def epoch_s(self, complexity: Complexity) -> float | None:
        """Seconds an epoch of such a candidate takes, or None while nothing is known."""
        bounds = [seconds * _times(complexity, seen) for seen, seconds in self._seen]
        if expected_s := self._expected_s(complexity):
            bounds.append(self._slowdown * expected_s)
        return min(bounds, default=None)

    @property
    def least_epoch_s(self) -> float:
        """Seconds an epoch takes at least, of whatever network; 0 while nothing is known."""
        return self.epoch_s(Complexity(params=0, flops=0, activations=0, peak_train_bytes=0)) or 0.0

    @property
    def median_epoch_s(self) -> float | None:
        """Seconds that an epoch took, or None while nothing was seen."""
        return median(seconds for _, seconds in self._seen) if self._seen else None

    @property
    def images_per_s(self) -> float | None:
        """The median rate of training, or None while nothing was seen."""
        return median(self._rates) if self._rates else None

    @property
    def _slowdown(self) -> float:
        """How many times as long as expected the epochs take that were seen: once at least."""
        ratios = [
            seconds / expected_s
            for complexity, seconds in self._seen
            if (expected_s := self._expected_s(complexity))
        ]
        return max(1.0, median(ratios)) if ratios else 1.0

    def _expected_s(self, complexity: Complexity) -> float:
        """Seconds an epoch takes by the references; 0 without any."""
        images_s = np.dot(_image_terms(complexity), self._per_image)
        return float(images_s + np.dot(_step_terms(complexity), self._per_step))


def _image_terms(complexity: Complexity) -> tuple[float, float]:
    return complexity.flops, complexity.activations


def _step_terms(complexity: Complexity) -> tuple[float, float]:
    return complexity.params, 1.0


def _fit(terms: Sequence[tuple[float, float]], seconds: Sequence[float]) -> npt.NDArray[np.float64]:
    """What a unit of each of two terms takes (2,), never less than nothing, so that relative errors are least."""
    told = [(pair, time_s) for pair, time_s in zip(terms, seconds, strict=True) if time_s > 0]
    if not told:
        return np.zeros(2)
    found, _ = nnls(np.array([np.divide(pair, time_s) for pair, time_s in told]), np.ones(len(told)))
    return np.asarray(found)


def _times(larger: Complexity, seen: Complexity) -> float:
    """How many times as long as the one that was seen ``larger`` takes at most; once if it is smaller."""
    ratios = (larger.activations / max(seen.activations, 1), larger.flops / max(seen.flops, 1))
    return max(1.0, *ratios)
