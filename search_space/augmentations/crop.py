"""Random translation: pad each image by reflection and crop it at a random place.

He et al. (2016), "Deep Residual Learning for Image Recognition", section 4.2, who pad with zeros; a
reflection keeps the background of digits as well as of photographs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convscout.search_space.augmentation import AugmentationConfig, augmentations
from convscout.search_space.knobs import real
from convscout.search_space.transfer import to_device


@augmentations.register("crop")
@dataclass(frozen=True, kw_only=True)
class Crop(AugmentationConfig):
    """Moves each image by up to ``share`` of its side, at least one pixel, each way."""

    share: float = real(0.125, low=0.05, high=0.2, maximum=0.5, help="largest shift ÷ side of the image")

    def apply(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        height, width = images.shape[2:]
        rows = self.window(len(images), height, generator)
        columns = self.window(len(images), width, generator)
        return take(images, rows, columns), targets

    def window(self, num_images: int, side: int, generator: torch.Generator) -> Tensor:
        """Which pixel of its image each pixel of a crop comes from, along one axis: (N, side)."""
        most = min(max(1, round(self.share * side)), side - 1)
        shift = torch.randint(-most, most + 1, (num_images, 1), generator=generator)
        moved = (torch.arange(side) + shift).abs()  # reflected at pixel 0
        return torch.minimum(moved, 2 * (side - 1) - moved)  # and at the last one


def take(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixel (i, j) of image n becomes its pixel (rows[n, i], columns[n, j]).

    ``images`` (N, C, H, W), ``rows`` (N, H) and ``columns`` (N, W) → (N, C, H, W), channels-last.
    """
    num_images, channels, height, width = images.shape
    first = torch.arange(num_images)[:, None] * height
    index = ((first + rows) * width)[:, :, None] + columns[:, None, :]  # (N, H, W)
    pixels = images.permute(0, 2, 3, 1).reshape(-1, channels)  # (N · H · W, C)
    taken = pixels.index_select(0, to_device(index.view(-1), images.device))
    return taken.view(num_images, height, width, channels).permute(0, 3, 1, 2)  # (N, C, H, W)
