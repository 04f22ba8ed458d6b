"""cifar10: 60,000 RGB 32×32 photographs of 10 kinds of things (Krizhevsky, 2009), official split."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, TypeAlias

import numpy as np
from torchvision import datasets

from trials.downloads import found_or_fetched
from trials.sources import DataRequest, Progress, Source, SourceImages, sources
from trials.splits import HORIZONTAL_FLIP, LabelledImages

Pair: TypeAlias = tuple[datasets.CIFAR10, datasets.CIFAR10]


@sources.register("cifar10")
class Cifar10(Source):
    """60,000 RGB 32×32 photographs of ten kinds of things.

    torchvision reads the batches, which are pickles, only after their MD5 sums were found right.
    """

    published: ClassVar[type[datasets.CIFAR10]] = datasets.CIFAR10

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        train, test = found_or_fetched(request, self._open, (self.published.url,))
        return SourceImages(
            train=_labelled(train),
            test=_labelled(test),
            class_names=tuple(train.classes),
            symmetries=(HORIZONTAL_FLIP,),
        )

    def _open(self, root: Path, download: bool) -> Pair:
        return self.published(root, train=True, download=download), self.published(root, train=False)


def _labelled(dataset: datasets.CIFAR10) -> LabelledImages:
    images = np.ascontiguousarray(dataset.data)  # (N, H, W, C), a view of (N, C, H, W) until here
    return LabelledImages(images=images, labels=np.array(dataset.targets, dtype=np.int64))
