"""svhn: RGB 32×32 house numbers, 73,257 to train and 26,032 to test (Netzer et al., 2011), official split.

The 531,131 easier "extra" images are left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convscout.trials.data.downloads import find_or_fetch, torchvision_dataset
from convscout.trials.data.sources import DataRequest, Progress, Source, SourceImages, sources
from convscout.trials.data.splits import LabelledImages

if TYPE_CHECKING:
    from torchvision.datasets import SVHN


@sources.register("svhn")
class Svhn(Source):
    """99,289 RGB 32×32 house numbers.

    torchvision reads the MATLAB files. A mirrored digit is no longer that digit, so there are no
    symmetries.
    """

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        published: type[SVHN] = torchvision_dataset("SVHN")

        def opened(root: Path, download: bool) -> tuple[SVHN, SVHN]:
            return published(root, "train", download=download), published(root, "test", download=download)

        urls = tuple(published.split_list[split][0] for split in ("train", "test"))
        train, test = find_or_fetch(request, opened, urls)
        return SourceImages(train=_label(train), test=_label(test), class_names=tuple("0123456789"))


def _label(dataset: SVHN) -> LabelledImages:
    images = np.ascontiguousarray(dataset.data.transpose(0, 2, 3, 1))  # (N, C, H, W) → (N, H, W, C)
    return LabelledImages(images=images, labels=dataset.labels)
