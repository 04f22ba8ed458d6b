"""Mixup: each image is blended with another, and so are their targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from convscout.search_space.augmentation import AugmentationConfig, augmentations
from convscout.search_space.knobs import real
from convscout.search_space.transfer import to_device


@augmentations.register("mixup")
@dataclass(frozen=True, kw_only=True)
class Mixup(AugmentationConfig):
    """Zhang et al. (2018), "mixup: Beyond Empirical Risk Minimization", section 2.

    Deviation: each image has a share of its own.
    """

    parts: ClassVar[tuple[str, ...]] = ("distortion",)

    alpha: float = real(
        0.2,
        low=0.05,
        high=0.5,
        log=True,
        minimum=0.01,
        maximum=8.0,
        help="both parameters of the share's Beta",
    )

    def apply(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        share = to_device(
            beta_shares(len(images), self.alpha, generator), images.device
        )  # of the other image
        blended = images.lerp(neighbours(images), share.to(images.dtype).view(-1, 1, 1, 1))
        return blended, targets.lerp(neighbours(targets), share.to(targets.dtype)[:, None])


def neighbours(batch: Tensor) -> Tensor:
    """For each member of a batch (N, …) the one before it; batches are in random order already."""
    return torch.cat((batch[-1:], batch[:-1]))


def beta_shares(num_images: int, alpha: float, generator: torch.Generator) -> Tensor:
    """(N,) draws from Beta(alpha, alpha)."""
    seed = int(torch.randint(2**62, (), generator=generator))  # torch's own draws from no generator given
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, num_images)).float()
