"""npz:FILE: a NumPy archive of images and labels, as ``numpy.savez`` writes it.

Either ``x_train`` and ``y_train``, perhaps with ``x_val``, ``y_val`` and ``x_test``, ``y_test``, the same as MedMNIST
calls them (``train_images``, ``train_labels``, …), or ``images`` and ``labels`` to be split by convscout.
Besides, perhaps ``class_names`` (K,) and ``symmetries``, arrays of text; symmetries that are not declared are taken
not to hold.

Images are (N, H, W) or (N, H, W, C) with C = 1 or 3: floats in [0, 1], or whole numbers, of which 255 is white unless
no level of all images is above 16, or one is above 255 (see ``trials/data/white.py``). Labels are whole numbers, (N,)
or (N, 1). Without ``class_names`` there are as many classes as the highest label says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from convscout.search_space.errors import DataError, list_names
from convscout.trials.data.array_archive import ArrayArchive
from convscout.trials.data.array_levels import ArrayLevels
from convscout.trials.data.image_files import SUFFIXES, suffix_in
from convscout.trials.data.sources import DataRequest, Progress, Source, SourceImages, sources
from convscout.trials.data.splits import SYMMETRIES, LabelledImages, Labels
from convscout.trials.data.white import LevelArray

_WHOLE = ("images", "labels")
_KERAS = {name: (f"x_{name}", f"y_{name}") for name in ("train", "val", "test")}
_MEDMNIST = {name: (f"{name}_images", f"{name}_labels") for name in ("train", "val", "test")}
_EXTRAS = ("class_names", "symmetries")
_LAYOUT = (
    "x_train, y_train (, x_val, y_val) (, x_test, y_test), or train_images, train_labels (, val_images, …), or "
    "images, labels; class_names, symmetries"
)
_NUM_NAMED = 8  # names or values in an error


@sources.register("npz")
class Npz(Source):
    """A NumPy archive of images and labels.

    One with a pickle in it is refused, since that could run code.
    """

    location = "FILE"

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        with ArrayArchive(Path(request.location).expanduser()) as archive:
            pairs = _pairs(archive)
            images = {name: archive.images(pair[0]) for name, pair in pairs.items()}
            labels = {name: _labels(archive, images[name], pair) for name, pair in pairs.items()}
            levels = _levels(archive, {pair[0]: images[name] for name, pair in pairs.items()}, request.white)
            found = {  # popped, so that all images never lie in memory twice
                name: LabelledImages(images=levels.pixels(images.pop(name)), labels=labels[name])
                for name in pairs
            }
            parts = [*found.values()]
            _check_same_shape(archive.path, parts)
            symmetries = _symmetries(archive)
            return SourceImages(
                train=found["train"],
                validation=found.get("val"),
                test=found.get("test"),
                class_names=_class_names(archive, parts),
                symmetries=symmetries,
                declared=bool(symmetries),
                white=levels.white,
                notes=levels.notes,
            )


def _pairs(archive: ArrayArchive) -> dict[str, tuple[str, str]]:
    """The names of images and labels of each split there is. Raises ``DataError`` for any other layout."""
    _check_names(archive)
    if "images" in archive.names:
        return {"train": _WHOLE}
    layout = _KERAS if "x_train" in archive.names else _MEDMNIST
    return {name: pair for name, pair in layout.items() if pair[0] in archive.names}


def _check_names(archive: ArrayArchive) -> None:
    pairs = (_WHOLE, *_KERAS.values(), *_MEDMNIST.values())
    unknown = archive.names - {name for pair in pairs for name in pair} - set(_EXTRAS)
    if any(name.rpartition("/")[2] in ("data.pkl", "version") for name in unknown):
        raise DataError(
            f"{archive.path}: torch.save wrote it, which is never read as it could run code; write one with "
            "numpy.savez(file, images=images.numpy(), labels=labels.numpy())"
        )
    if any(suffix_in(name) in SUFFIXES for name in unknown):
        raise DataError(
            f"{archive.path}: is a zip of pictures; unpack it and give the directory: folder:PATH"
        )
    if unknown:
        raise DataError(f"{archive.path}: has an array {min(unknown)!r}, but the arrays must be {_LAYOUT}")
    for images, labels in pairs:
        if (images in archive.names) != (labels in archive.names):
            have, lack = (images, labels) if images in archive.names else (labels, images)
            raise DataError(f"{archive.path}: has {have} but no {lack}; the arrays must be {_LAYOUT}")
    layouts = [pairs for pairs in ({"": _WHOLE}, _KERAS, _MEDMNIST) if archive.names & _images(pairs)]
    if len(layouts) != 1 or next(iter(layouts[0].values()))[0] not in archive.names:
        raise DataError(
            f"{archive.path}: has {list_names(sorted(archive.names), _NUM_NAMED) or 'no arrays'}, but needs {_LAYOUT}"
        )


def _images(pairs: Mapping[str, tuple[str, str]]) -> set[str]:
    return {images for images, _ in pairs.values()}


def _levels(archive: ArrayArchive, images: Mapping[str, LevelArray], wanted: int | None) -> ArrayLevels:
    try:
        return ArrayLevels.of(images, wanted)
    except DataError as error:
        raise DataError(f"{archive.path}: {error.message}") from error


def _labels(archive: ArrayArchive, images: LevelArray, names: tuple[str, str]) -> Labels:
    labels = archive.labels(names[1])
    if len(images) != len(labels):
        raise DataError(
            f"{archive.path}: {names[0]} has {len(images)} images but {names[1]} has {len(labels)} labels; "
            "they must be as many"
        )
    return labels


def _check_same_shape(path: Path, parts: list[LabelledImages]) -> None:
    shapes = {part.images.shape[1:] for part in parts}
    if len(shapes) > 1:
        raise DataError(f"{path}: the images of all splits must have one shape, but have {sorted(shapes)}")


def _class_names(archive: ArrayArchive, parts: list[LabelledImages]) -> tuple[str, ...]:
    if "class_names" not in archive.names:
        highest = max(int(part.labels.max(initial=-1)) for part in parts)
        most = sum(len(part) for part in parts)
        if highest >= most:  # before as many names are made up
            raise DataError(
                f"{archive.path}: label {highest} makes {highest + 1} classes of {most} images; "
                "there must not be fewer images than classes, so number the classes 0, 1, 2, …"
            )
        _check_numbered(archive, parts, highest)
        return tuple(str(label) for label in range(highest + 1))
    names = archive.texts("class_names")
    if {int(part.labels.min(initial=1)) for part in parts} == {1} and len(names) == max(
        int(part.labels.max(initial=0)) for part in parts
    ):
        raise DataError(f"{archive.path}: labels begin at 1, but must be 0, 1, 2, …: y - 1")
    if len(set(names)) < len(names):
        twice = list_names(sorted(name for name, count in Counter(names).items() if count > 1), _NUM_NAMED)
        raise DataError(f"{archive.path}: class_names must differ from each other, but these do not: {twice}")
    return names


def _check_numbered(archive: ArrayArchive, parts: list[LabelledImages], highest: int) -> None:
    """Raise ``DataError`` where the labels leave out numbers, as those do that begin at 1."""
    found = np.unique(np.concatenate([part.labels for part in parts]))
    if len(found) == highest + 1:
        return
    begin = len(found) and len(found) == highest  # all but one
    mend = "y - 1" if begin and found[0] == 1 else "numpy.unique(y, return_inverse=True)[1]"
    lacking = list_names(np.setdiff1d(np.arange(highest + 1), found).astype(str).tolist(), _NUM_NAMED)
    raise DataError(
        f"{archive.path}: labels must be 0, 1, 2, … up to {highest}, each at least once, but none is {lacking}; number "
        f"the classes anew: {mend}, or add class_names if a class has no images"
    )


def _symmetries(archive: ArrayArchive) -> tuple[str, ...]:
    names = archive.texts("symmetries") if "symmetries" in archive.names else ()
    if not set(names) <= set(SYMMETRIES):
        raise DataError(
            f"{archive.path}: symmetries must be some of {', '.join(SYMMETRIES)}, but got {list(names[:_NUM_NAMED])}"
        )
    return names
