"""CutMix: a rectangle of each image comes from another, and so does as much of its target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convscout.search_space.augmentation import AugmentationConfig, augmentations
from convscout.search_space.augmentations.mixup import beta_shares, neighbours
from convscout.search_space.knobs import real
from convscout.search_space.regions import random_boxes
from convscout.search_space.transfer import to_device


@augmentations.register("cutmix")
@dataclass(frozen=True, kw_only=True)
class CutMix(AugmentationConfig):
    """Yun et al. (2019), "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features",
    section 3.1.

    Deviation: each image has a box of its own.
    """

    parts: ClassVar[tuple[str, ...]] = ("distortion",)

    alpha: float = real(
        1.0, low=0.3, high=1.0, minimum=0.01, maximum=8.0, help="both parameters of the area's Beta"
    )
    probability: float = real(0.5, low=0.2, high=1.0, maximum=1.0, help="share of the images that are mixed")

    def apply(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        num_images, side = len(images), images.shape[3]
        mixed = torch.rand(num_images, generator=generator) < self.probability
        areas = beta_shares(num_images, self.alpha, generator) * mixed
        sides = (areas.sqrt() * side).round().long()
        boxes = random_boxes(sides, sides, side, generator)  # (N, 1, H, W)
        share = to_device(boxes.float().mean((1, 2, 3)), targets.device).to(targets.dtype)[
            :, None
        ]  # (N, 1), without what was cut off
        swapped = torch.where(to_device(boxes, images.device), neighbours(images), images)
        return swapped, targets.lerp(neighbours(targets), share)
