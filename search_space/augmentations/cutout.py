"""Cutout: a square of each image is hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convscout.search_space.augmentation import AugmentationConfig, augmentations
from convscout.search_space.knobs import real
from convscout.search_space.regions import random_boxes
from convscout.search_space.transfer import to_device


@augmentations.register("cutout")
@dataclass(frozen=True, kw_only=True)
class Cutout(AugmentationConfig):
    """DeVries & Taylor (2017), "Improved Regularization of Convolutional Neural Networks with Cutout", section 3."""

    parts: ClassVar[tuple[str, ...]] = ("distortion",)

    share: float = real(0.25, low=0.1, high=0.5, maximum=1.0, help="side of the square ÷ side of the image")

    def apply(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        sides = torch.full((len(images),), max(1, round(self.share * images.shape[3])))
        hidden = random_boxes(sides, sides, images.shape[3], generator)
        return torch.where(
            to_device(hidden, images.device), torch.zeros_like(images), images
        ), targets  # 0 is the mean
