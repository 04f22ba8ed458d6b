"""mnist: 70,000 grey 28×28 images of handwritten digits, official split.

LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 86, 1998.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from convscout.search_space.errors import DataError
from convscout.trials.data.downloads import fetch, places_of, torchvision_dataset
from convscout.trials.data.idx import read_idx
from convscout.trials.data.sources import DataRequest, Progress, Source, SourceImages, sources
from convscout.trials.data.splits import LabelledImages

_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@sources.register("mnist")
class Mnist(Source):
    """70,000 grey 28×28 handwritten digits.

    Four idx files, packed or not, straight in a directory or where torchvision puts them below it.
    torchvision downloads them; they are read here, because it reads only unpacked ones and cannot
    tell a file whose unpacking was interrupted. A mirrored digit is no longer that digit, so there
    are no symmetries.
    """

    published: ClassVar[str] = "MNIST"
    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")
    symmetries: ClassVar[tuple[str, ...]] = ()
    installed: ClassVar[tuple[Path, ...]] = ()  # directories where a system's package puts the files

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        train_images, train_labels, test_images, test_labels = self._files(request)
        return SourceImages(
            train=_label(train_images, train_labels),
            test=_label(test_images, test_labels),
            class_names=self.class_names,
            symmetries=self.symmetries,
        )

    def _files(self, request: DataRequest) -> list[Path]:
        raw = Path(self.published) / "raw"
        places = [place for base in places_of(request) for place in (base / raw, base)]
        for place in (*places, *self.installed):
            if files := _all_files(place):
                return files
        published = torchvision_dataset(self.published)

        def download(root: Path, download: bool) -> list[Path]:
            folder = Path(published(root, download=download).raw_folder)
            return [folder / f"{name}.gz" for name in _FILES]

        return fetch(request, download, tuple(published.mirrors[0] + name for name, _ in published.resources))


def _all_files(folder: Path) -> list[Path]:
    """The four files in ``folder``, or none unless all are there; packed ones, being checked, go first."""
    candidates = [[folder / f"{name}.gz", folder / name] for name in _FILES]
    found = [next((path for path in paths if path.is_file()), None) for paths in candidates]
    return [path for path in found if path] if all(found) else []


def _label(images_path: Path, labels_path: Path) -> LabelledImages:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise DataError(
            f"{images_path} has shape {images.shape} and {labels_path.name} {labels.shape}, "
            "but must have (N, H, W) and (N,); fetch the files again"
        )
    return LabelledImages(images=images[..., np.newaxis], labels=labels.astype(np.int64))  # (N, H, W, 1)
