"""No augmentation: the baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from convscout.search_space.augmentation import AugmentationConfig, augmentations

if TYPE_CHECKING:  # a recipe without a distortion has this one, and is read without torch
    import torch
    from torch import Tensor


@augmentations.register("none")
@dataclass(frozen=True, kw_only=True)
class NoAugmentation(AugmentationConfig):
    """Images as they are."""

    parts: ClassVar[tuple[str, ...]] = ("augmentation", "distortion")

    def apply(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return images, targets
