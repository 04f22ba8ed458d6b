"""TrivialAugment: one random operation an image, of random strength."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convscout.search_space.augmentation import AugmentationConfig, augmentations
from convscout.search_space.image_operations import OPERATIONS, apply_drawn
from convscout.search_space.knobs import real


@augmentations.register("trivial_augment")
@dataclass(frozen=True, kw_only=True)
class TrivialAugment(AugmentationConfig):
    """Müller & Hutter (2021), "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", section 3.

    Deviations: the operations of ``image_operations``, and ``strength``, as short trainings want less.
    """

    parts: ClassVar[tuple[str, ...]] = ("distortion",)

    strength: float = real(0.5, low=0.1, high=1.0, maximum=1.0, help="largest magnitude of an operation")

    def apply(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        drawn = torch.randint(len(OPERATIONS), (len(images),), generator=generator)
        magnitudes = self.strength * (2 * torch.rand(len(images), generator=generator) - 1)
        return apply_drawn(images, drawn, magnitudes), targets
