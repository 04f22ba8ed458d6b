"""svhn: RGB 32×32 house numbers, 73,257 to train and 26,032 to test (Netzer et al., 2011), official split.

The 531,131 easier "extra" images are left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
from torchvision import datasets

from trials.downloads import found_or_fetched
from trials.sources import DataRequest, Progress, Source, SourceImages, sources
from trials.splits import LabelledImages

Pair: TypeAlias = tuple[datasets.SVHN, datasets.SVHN]


@sources.register("svhn")
class Svhn(Source):
    """99,289 RGB 32×32 house numbers.

    torchvision reads the MATLAB files. A mirrored digit is no longer that digit, so there are no
    symmetries.
    """

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        urls = tuple(datasets.SVHN.split_list[split][0] for split in ("train", "test"))
        train, test = found_or_fetched(request, _open, urls)
        return SourceImages(train=_labelled(train), test=_labelled(test), class_names=tuple("0123456789"))


def _open(root: Path, download: bool) -> Pair:
    return datasets.SVHN(root, "train", download=download), datasets.SVHN(root, "test", download=download)


def _labelled(dataset: datasets.SVHN) -> LabelledImages:
    images = np.ascontiguousarray(dataset.data.transpose(0, 2, 3, 1))  # (N, C, H, W) → (N, H, W, C)
    return LabelledImages(images=images, labels=dataset.labels)
