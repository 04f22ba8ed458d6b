"""Random erasing: a rectangle of any shape, in some images, is painted over."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convscout.search_space.augmentation import AugmentationConfig, augmentations
from convscout.search_space.knobs import real
from convscout.search_space.regions import random_boxes
from convscout.search_space.transfer import to_device

SMALLEST_AREA = 0.02
FLATTEST = 0.3  # height ÷ width


@augmentations.register("random_erasing")
@dataclass(frozen=True, kw_only=True)
class RandomErasing(AugmentationConfig):
    """Zhong et al. (2020), "Random Erasing Data Augmentation", algorithm 1.

    Deviations: one random colour a rectangle instead of noise, the logarithm of the aspect is what is uniform,
    and rectangles may reach over the edge.
    """

    parts: ClassVar[tuple[str, ...]] = ("distortion",)

    probability: float = real(
        0.5, low=0.2, high=1.0, maximum=1.0, help="share of the images that are changed"
    )
    area: float = real(
        0.25, low=0.1, high=0.4, minimum=SMALLEST_AREA, maximum=1.0, help="largest share erased"
    )

    def apply(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        num_images, channels, side, _ = images.shape
        chance, size, shape = torch.rand(3, num_images, generator=generator)  # each (N,)
        area = (SMALLEST_AREA + (self.area - SMALLEST_AREA) * size) * (chance < self.probability) * side**2
        aspect = torch.exp(math.log(FLATTEST) * (2 * shape - 1))
        heights, widths = (area * aspect).sqrt().round().long(), (area / aspect).sqrt().round().long()
        erased = random_boxes(heights, widths, side, generator)
        colors = torch.randn(num_images, channels, 1, 1, generator=generator)
        colors = to_device(colors, images.device).to(images.dtype)
        return torch.where(to_device(erased, images.device), colors, images), targets
