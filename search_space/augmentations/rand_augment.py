"""RandAugment: a few random operations an image, all of the same strength."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convscout.search_space.augmentation import AugmentationConfig, augmentations
from convscout.search_space.image_operations import OPERATIONS, apply_drawn
from convscout.search_space.knobs import integer, real


@augmentations.register("rand_augment")
@dataclass(frozen=True, kw_only=True)
class RandAugment(AugmentationConfig):
    """Cubuk et al. (2020), "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space",
    section 3.

    Deviation: the operations of ``image_operations``.
    """

    parts: ClassVar[tuple[str, ...]] = ("distortion",)

    num_operations: int = integer(1, low=1, high=2, maximum=8, help="operations an image goes through")
    strength: float = real(0.3, low=0.1, high=0.6, maximum=1.0, help="magnitude of every operation")

    def apply(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        for _ in range(self.num_operations):
            drawn = torch.randint(len(OPERATIONS), (len(images),), generator=generator)
            signs = 2.0 * torch.randint(2, (len(images),), generator=generator) - 1
            images = apply_drawn(images, drawn, self.strength * signs)
        return images, targets
