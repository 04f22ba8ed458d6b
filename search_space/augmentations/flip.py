"""Random mirroring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convscout.search_space.augmentation import AugmentationConfig, augmentations
from convscout.search_space.transfer import to_device


@augmentations.register("flip")
@dataclass(frozen=True, kw_only=True)
class Flip(AugmentationConfig):
    """Mirrors each image left to right with probability one half."""

    needs: ClassVar[tuple[str, ...]] = ("horizontal_flip",)

    def apply(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        mirrored = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
        return torch.where(to_device(mirrored, images.device), images.flip(3), images), targets
