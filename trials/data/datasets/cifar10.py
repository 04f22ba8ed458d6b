"""cifar10: 60,000 RGB 32×32 photographs of 10 kinds of things (Krizhevsky, 2009), official split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from convscout.trials.data.downloads import find_or_fetch, torchvision_dataset
from convscout.trials.data.sources import DataRequest, Progress, Source, SourceImages, sources
from convscout.trials.data.splits import HORIZONTAL_FLIP, LabelledImages

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10


@sources.register("cifar10")
class Cifar10(Source):
    """60,000 RGB 32×32 photographs of ten kinds of things.

    torchvision reads the batches, which are pickles, only after their MD5 sums were found right.
    """

    published: ClassVar[str] = "CIFAR10"

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        published: type[CIFAR10] = torchvision_dataset(self.published)

        def opened(root: Path, download: bool) -> tuple[CIFAR10, CIFAR10]:
            return published(root, train=True, download=download), published(root, train=False)

        train, test = find_or_fetch(request, opened, (published.url,))
        return SourceImages(
            train=_label(train),
            test=_label(test),
            class_names=tuple(train.classes),
            symmetries=(HORIZONTAL_FLIP,),
        )


def _label(dataset: CIFAR10) -> LabelledImages:
    images = np.ascontiguousarray(dataset.data)  # (N, H, W, C), a view of (N, C, H, W) until here
    return LabelledImages(images=images, labels=np.array(dataset.targets, dtype=np.int64))
