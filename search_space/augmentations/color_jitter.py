"""Random light and colour.

After Krizhevsky et al. (2012), "ImageNet Classification with Deep Convolutional Neural Networks", section 4.1, in
the form of Howard (2013), "Some Improvements on Deep Convolutional Neural Network Based Image Classification", the
section on additional color manipulations, but always in one order. Hue stays: for some labels it is what matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convscout.search_space.augmentation import AugmentationConfig, augmentations
from convscout.search_space.image_operations import brightness, contrast, saturation
from convscout.search_space.knobs import real
from convscout.search_space.transfer import to_device


@augmentations.register("color_jitter")
@dataclass(frozen=True, kw_only=True)
class ColorJitter(AugmentationConfig):
    """Changes brightness, contrast and saturation of each image, in this order."""

    parts: ClassVar[tuple[str, ...]] = ("distortion",)

    strength: float = real(
        0.3, low=0.1, high=0.6, maximum=1.0, help="largest change; 1 is to twice or nothing"
    )

    def apply(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        magnitudes = self.strength * (2 * torch.rand(3, len(images), generator=generator) - 1)
        for change, magnitude in zip((brightness, contrast, saturation), magnitudes, strict=True):
            images = change(images, to_device(magnitude, images.device))
        return images, targets
