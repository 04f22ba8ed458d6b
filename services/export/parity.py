"""Parity: does an exported model answer as the trained one does?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from convscout.search_space.errors import ConvscoutError
from convscout.trials.data.mapped_images import Images, Pixels

if TYPE_CHECKING:
    from convscout.trials.evaluation.metrics import Probabilities  # which imports torch

NUM_IMAGES = 256
TOLERANCE = 1e-4  # of a probability
# runtimes go wrong at a single image, or at a size that they were not traced with; what is left is one more
_BATCH_SIZES = (1, 2, 33, 64, 64)
_NUM_RESIZED = 24  # images that are asked about at each of the other sizes
_OTHER_SIZES = ((0.6, 0.8), (2.2, 1.5))  # height and width, as multiples of the networks' own


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How far an exported model is from the trained one.

    ``max_difference`` is the largest difference of any probability. ``num_changed`` counts images whose
    most probable class is another one, except near ties: images whose two most probable classes differ
    by at most twice ``tolerance``, of which there are ``num_near_ties``. ``shapes`` are those of the images (H, W, C),
    that which the networks were trained with first.
    """

    num_images: int
    batch_sizes: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    max_difference: float
    num_changed: int
    num_near_ties: int
    tolerance: float = TOLERANCE

    @property
    def passed(self) -> bool:
        """Whether the exported model may stand in for the trained one."""
        return self.max_difference <= self.tolerance and self.num_changed == 0

    def require(self) -> None:
        """Raise ``ConvscoutError`` saying how far off it is, unless it passed."""
        if not self.passed:
            raise ConvscoutError(
                f"it answers differently: probabilities differ by up to {self.max_difference:.2g} "
                f"(allowed {self.tolerance:g}), {self.num_changed} of {self.num_images} answers are others"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def of(
        cls,
        batches: Sequence[Pixels],
        answers: Probabilities,
        expected: Probabilities,
        tolerance: float = TOLERANCE,
    ) -> Self:
        """Of ``answers`` (N, K) to all ``batches`` of images, where ``expected`` (N, K) ones should have been."""
        if answers.shape != expected.shape:
            raise ConvscoutError(f"its answers are of shape {answers.shape} instead of {expected.shape}")
        ordered = np.sort(expected, axis=1)
        near_ties = ordered[:, -1] - ordered[:, -2] <= 2 * tolerance  # (N,)
        changed = answers.argmax(axis=1) != expected.argmax(axis=1)  # (N,)
        return cls(
            num_images=len(answers),
            batch_sizes=tuple(map(len, batches)),
            shapes=tuple(dict.fromkeys(batch.shape[1:] for batch in batches)),
            max_difference=float(np.abs(answers - expected).max()),
            num_changed=int((changed & ~near_ties).sum()),
            num_near_ties=int(near_ties.sum()),
            tolerance=tolerance,
        )


def questions(images: Images) -> list[Pixels]:
    """Batches of several sizes of the first 256 ``images`` (N, H, W, C), and a few images of other shapes.

    Those are cut off, or mirrored beyond their edges.
    """
    asked: Pixels = images[:NUM_IMAGES]
    batches = [part for part in np.split(asked, np.cumsum(_BATCH_SIZES)) if len(part)]
    return batches + [_reshape(asked[:_NUM_RESIZED], *share) for share in _OTHER_SIZES]


def _reshape(images: Pixels, height: float, width: float) -> Pixels:
    """``images`` (N, H, W, C) of ``height`` and ``width`` times their own, a pixel at least."""
    old = np.array(images.shape[1:3])
    new = np.maximum(1, np.round(old * (height, width)).astype(int))
    cut = images[:, : new[0], : new[1]]
    more = np.maximum(0, new - old)
    return np.pad(cut, ((0, 0), (0, more[0]), (0, more[1]), (0, 0)), mode="symmetric")
