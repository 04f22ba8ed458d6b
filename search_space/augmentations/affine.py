"""Random rotation, scaling and shearing.

After Simard, Steinkraus & Platt (2003), "Best Practices for Convolutional Neural Networks Applied to Visual Document
Analysis", section 2. Shifts are those of ``crop``, which goes before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convscout.search_space.augmentation import AugmentationConfig, augmentations
from convscout.search_space.image_operations import rotations, shears, warp
from convscout.search_space.knobs import real


@augmentations.register("affine")
@dataclass(frozen=True, kw_only=True)
class Affine(AugmentationConfig):
    """Turns each image by up to ``rotation`` degrees and scales and shears it by up to ``scale`` and ``shear``."""

    parts: ClassVar[tuple[str, ...]] = ("distortion",)

    rotation: float = real(10.0, low=2.0, high=20.0, maximum=180.0, help="largest angle in degrees")
    scale: float = real(0.1, low=0.0, high=0.25, maximum=1.0, help="largest |ln| of the change in size")
    shear: float = real(0.1, low=0.0, high=0.3, maximum=1.0, help="largest slope of the upright lines")

    def apply(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        turn, size, slope = 2 * torch.rand(3, len(images), generator=generator) - 1  # each (N,)
        turns = rotations(math.radians(self.rotation) * turn)[:, :, :2]  # (N, 2, 2)
        moves = turns @ shears(self.shear * slope)  # (N, 2, 3), without a shift
        return warp(images, torch.exp(self.scale * size).view(-1, 1, 1) * moves), targets
