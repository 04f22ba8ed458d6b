"""Random translation, and mirroring by turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from convscout.search_space.augmentation import augmentations
from convscout.search_space.augmentations.crop import Crop
from convscout.search_space.knobs import real


@augmentations.register("crop_alternating")
@dataclass(frozen=True, kw_only=True)
class CropAlternating(Crop):
    """As ``crop``, and each image is mirrored left to right in every other epoch, which one half begins with.

    Jordan (2024), "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", section 3.6: two epochs show both sides of every
    image, where chance shows one of them twice to half of the images. Who draws the batches mirrors them, as only
    there it is known which images they are.
    """

    needs: ClassVar[tuple[str, ...]] = ("horizontal_flip",)
    alternating: ClassVar[bool] = True

    share: float = real(0.0625, low=0.03, high=0.2, maximum=0.5, help="largest shift ÷ side of the image")
