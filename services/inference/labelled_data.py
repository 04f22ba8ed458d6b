"""Labelled data to judge by: a split of it, or images that are too few to be split, as judging needs no split."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from convscout.search_space.errors import DataError
from convscout.services.inference.images import InputPicture, read_batches, read_file
from convscout.trials.compute.memory import require_memory
from convscout.trials.data.image_files import SUFFIXES
from convscout.trials.data.image_tree import ImageFile, ImageTree, scan
from convscout.trials.data.levels import check_levels
from convscout.trials.data.sources import DataRequest, sources
from convscout.trials.data.splits import BadImage, DataSplits, LabelledImages, Pixels

ALL = "all"
_BATCH = 1024  # files that are decoded side by side


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledData:
    """``images`` of a ``split``, or of all, of the data called ``name``.

    ``fingerprint`` is of all of that data, empty where it was not split. ``skipped`` are files that cannot be read.
    """

    name: str
    split: str
    images: LabelledImages
    class_names: tuple[str, ...]
    fingerprint: str = ""
    skipped: tuple[BadImage, ...] = ()

    @classmethod
    def of(cls, data: DataSplits, split: str) -> LabelledData:
        """A ``split`` of ``data``, or ``all`` of it."""
        return cls(
            name=data.name,
            split=split,
            images=_choose(data, split),
            class_names=data.class_names,
            fingerprint=data.fingerprint,
            skipped=data.skipped,
        )


def name_source(data: str) -> str:
    """``data`` as a dataset is named: ``folder:PATH`` for a directory, ``npz:PATH`` for an npz file.

    Raises ``DataError`` for other files, with what to do.
    """
    path = Path(data).expanduser()
    if data in sources.names() or ":" in data or not path.exists():
        return data
    suffix = path.suffix.lower()
    if path.is_dir() or suffix == ".npz":
        return f"{'folder' if path.is_dir() else 'npz'}:{data}"
    mend = {".zip": "; unpack it and give the directory"} | dict.fromkeys(
        SUFFIXES, "; put it into a folder of the name of its class, as in pets/cat/1.png, and give pets"
    )
    raise DataError(
        f"{path}: labelled images must be a directory with a folder for each class, or an npz file"
        f"{mend.get(suffix, '')}"
    )


def read_undivided(request: DataRequest, split: str, size: int, channels: int) -> LabelledData:
    """The ``split`` of the images of ``request`` that its source holds, or else all of them, (size, size, channels).

    There may be one class alone, or one image of each. Raises ``DataError``.
    """
    if request.source == "folder":
        return _read_tree(request, split, size, channels)
    found = sources.get(request.source)().read(request, lambda *_: None)
    whole = _is_whole(found.parts, split)
    return LabelledData(
        name=request.data,
        split=ALL if whole else split,
        images=LabelledImages.joined([*found.parts.values()] if whole else [found.parts[split]]),
        class_names=found.class_names,
    )


def _is_whole(held: Collection[str], split: str) -> bool:
    """Whether ``split`` can only be all images, as the source, which has ``held`` splits, has no such one."""
    return split not in held or len(held) == 1


def _choose(data: DataSplits, split: str) -> LabelledImages:
    parts = {"train": data.train, "validation": data.validation}
    if split in parts:
        return parts[split]
    test = data.open_test()
    if split == "test":
        return test
    return LabelledImages.joined([data.train, data.validation, test])


def _read_tree(request: DataRequest, split: str, size: int, channels: int) -> LabelledData:
    tree = scan(Path(request.location).expanduser())
    white = check_levels(tree, request.white).white
    whole = _is_whole(tree.splits, split)
    files = tree.files if whole else tree.splits[split]
    remedy = "evaluate fewer images"
    require_memory(len(files) * size * size * channels, what=f"{tree.root}: its images", remedy=remedy)
    pictures = [_picture(tree, file, white) for file in files]
    batches = (read for _, read in read_batches(pictures, size, channels, _BATCH))
    images, labels, skipped = [], [], []
    for file, read in zip(files, chain.from_iterable(batches), strict=True):
        if isinstance(read, str):
            skipped.append(BadImage(path=file.path, reason=read))
        else:
            images.append(read)
            labels.append(file.label)
    if not images:
        raise DataError(f"{tree.root}: none of its images can be read: {skipped[0].path} {skipped[0].reason}")
    return LabelledData(
        name=request.data,
        split=ALL if whole else split,
        images=LabelledImages(images=np.stack(images), labels=np.array(labels, dtype=np.int64)),
        class_names=tree.class_names,
        skipped=tuple(skipped),
    )


def _picture(tree: ImageTree, file: ImageFile, white: int) -> InputPicture:
    def read(size: int, channels: int) -> Pixels:
        if file.problem:
            raise DataError(file.problem)
        return read_file(tree.root / file.path, size, channels, white=white)

    return InputPicture(file.path, read)
