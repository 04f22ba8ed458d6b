"""Parity: does an exported model answer as the trained one does?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from trials.metrics import Probabilities
from trials.splits import Pixels

NUM_IMAGES = 256
TOLERANCE = 1e-4  # of a probability
# runtimes go wrong at a single image, or at a size that they were not traced with; what is left is one more
_BATCH_SIZES = (1, 2, 33, 64, 64)

Predictor: TypeAlias = Callable[[Pixels], Probabilities]
"""From (N, H, W, C) uint8 images to (N, K) float32 probabilities."""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How far an exported model is from the trained one.

    ``max_difference`` is the largest difference of any probability. ``num_changed`` counts images whose
    most probable class is another one, except near ties: images whose two most probable classes differ
    by at most twice ``tolerance``, of which there are ``num_near_ties``.
    """

    num_images: int
    batch_sizes: tuple[int, ...]
    max_difference: float
    num_changed: int
    num_near_ties: int
    tolerance: float = TOLERANCE

    @property
    def passed(self) -> bool:
        """Whether the exported model may stand in for the trained one."""
        return self.max_difference <= self.tolerance and self.num_changed == 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def measure(cls, predictor: Predictor, images: Pixels, expected: Probabilities) -> Self:
        """Ask ``predictor`` about (N, H, W, C) ``images`` in batches of several sizes; ``expected`` is (N, K)."""
        return cls.of(in_batches(predictor, images), expected)

    @classmethod
    def of(cls, answers: Probabilities, expected: Probabilities) -> Self:
        """Of ``answers`` (N, K) that were given ``in_batches``, where ``expected`` (N, K) ones should have been."""
        ordered = np.sort(expected, axis=1)
        near_ties = ordered[:, -1] - ordered[:, -2] <= 2 * TOLERANCE  # (N,)
        changed = answers.argmax(axis=1) != expected.argmax(axis=1)  # (N,)
        return cls(
            num_images=len(answers),
            batch_sizes=tuple(map(len, _batches(answers))),
            max_difference=float(np.abs(answers - expected).max()),
            num_changed=int((changed & ~near_ties).sum()),
            num_near_ties=int(near_ties.sum()),
        )


def in_batches(predictor: Predictor, images: Pixels) -> Probabilities:
    """What ``predictor`` answers (N, K) to ``images`` (N, H, W, C), asked in batches of several sizes."""
    return np.concatenate([predictor(batch) for batch in _batches(images)])


def _batches(whole: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    return [part for part in np.split(whole, np.cumsum(_BATCH_SIZES)) if len(part)]
