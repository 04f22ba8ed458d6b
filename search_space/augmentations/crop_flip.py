"""Random translation and mirroring, the standard augmentation of photographs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convscout.search_space.augmentation import augmentations
from convscout.search_space.augmentations.crop import Crop, take


@augmentations.register("crop_flip")
@dataclass(frozen=True, kw_only=True)
class CropFlip(Crop):
    """As ``crop``, and each image is mirrored left to right with probability one half."""

    needs: ClassVar[tuple[str, ...]] = ("horizontal_flip",)

    def apply(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        height, width = images.shape[2:]
        rows = self.window(len(images), height, generator)
        columns = self.window(len(images), width, generator)
        mirrored = torch.rand(len(images), 1, generator=generator) < 0.5
        return take(images, rows, torch.where(mirrored, columns.flip(1), columns)), targets
