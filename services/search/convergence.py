"""Convergence: what more trials are expected to gain, beside what the validation images can tell apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_TRIALS = 20  # fewer say nothing of how their best is distributed
TAIL_SHARE = 1 / 4  # of the trials, the best of which tell how the best are distributed


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """``scale`` is by how much the best accuracy rises, in expectation, when trials become e times as many.

    ``noise`` is the standard error of ``best`` on the validation images, ``trials`` how many there were.
    """

    trials: int
    best: float
    scale: float
    noise: float

    @property
    def gain(self) -> float:
        """By how much as many trials again are expected to raise the best accuracy."""
        return self.scale * math.log(2)

    @property
    def converged(self) -> bool:
        """Whether what may be gained could not be told from noise."""
        return self.gain < self.noise

    def trials_until(self, accuracy: float) -> float:
        """How many more trials are expected to be needed to reach ``accuracy``; infinity if none would."""
        gap = max(0.0, accuracy - self.best)
        if gap == 0:
            return 0.0
        growth = gap / self.scale if self.scale else math.inf
        return self.trials * math.expm1(growth) if growth < 50 else math.inf

    def __str__(self) -> str:
        return (
            f"as many trials again are expected to gain {100 * self.gain:.2f} points; "
            f"the noise of the validation images is {100 * self.noise:.2f} points"
        )


def outlook(accuracies: Sequence[float], images: int) -> Outlook | None:
    """What to expect after trials of those best ``accuracies`` on ``images`` validation images; None after few.

    The best of them are taken to exceed a threshold by exponentially distributed amounts, the simplest of the
    tails that excesses over a high threshold can have (Pickands, 1975, "Statistical inference using extreme
    order statistics"). The expected maximum of n such draws grows by the mean excess times ln n. The noise is
    that of a share after Agresti and Coull (1998), which is not zero where all images are answered rightly.
    """
    if len(accuracies) < LEAST_TRIALS:
        return None
    ordered = sorted(accuracies, reverse=True)
    tail = max(5, round(TAIL_SHARE * len(ordered)))
    scale = sum(ordered[:tail]) / tail - ordered[tail]
    right = (ordered[0] * images + 2) / (images + 4)
    noise = math.sqrt(right * (1 - right) / (images + 4))
    return Outlook(trials=len(ordered), best=ordered[0], scale=scale, noise=noise)
