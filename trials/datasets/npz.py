"""npz:FILE: a NumPy archive of images and labels, as ``numpy.savez`` writes it.

Either ``x_train`` and ``y_train``, perhaps with ``x_val``, ``y_val`` and ``x_test``, ``y_test``, or
``images`` and ``labels`` to be split by convscout. Besides, perhaps ``class_names`` (K,) and
``symmetries``, arrays of text; symmetries that are not declared are taken not to hold.

Images are (N, H, W) or (N, H, W, C) with C = 1 or 3: whole numbers in [0, 255], or floats in [0, 1],
which are scaled by 255 and rounded. Labels are whole numbers, (N,) or (N, 1). Without ``class_names``
there are as many classes as the highest label says.
"""

from __future__ import annotations

from pathlib import Path

from search_space.errors import DataError
from trials.array_archive import ArrayArchive
from trials.sources import DataRequest, Progress, Source, SourceImages, sources
from trials.splits import SYMMETRIES, LabelledImages

_TRAIN, _VALIDATION, _TEST = ("x_train", "y_train"), ("x_val", "y_val"), ("x_test", "y_test")
_WHOLE = ("images", "labels")
_EXTRAS = ("class_names", "symmetries")
_LAYOUT = "x_train, y_train (, x_val, y_val) (, x_test, y_test), or images, labels; class_names, symmetries"


@sources.register("npz")
class Npz(Source):
    """A NumPy archive of images and labels.

    One with a pickle in it is refused, since that could run code.
    """

    location = "FILE"

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        with ArrayArchive(Path(request.location).expanduser()) as archive:
            _check_names(archive)
            train = _part(archive, _WHOLE) or _part(archive, _TRAIN)
            assert train is not None  # by _check_names
            validation, test = _part(archive, _VALIDATION), _part(archive, _TEST)
            parts = [part for part in (train, validation, test) if part is not None]
            _check_same_shape(archive.path, parts)
            return SourceImages(
                train=train,
                validation=validation,
                test=test,
                class_names=_class_names(archive, parts),
                symmetries=_symmetries(archive),
            )


def _check_names(archive: ArrayArchive) -> None:
    pairs = (_WHOLE, _TRAIN, _VALIDATION, _TEST)
    unknown = archive.names - {name for pair in pairs for name in pair} - set(_EXTRAS)
    if unknown:
        raise DataError(f"{archive.path}: has an array {min(unknown)!r}, but the arrays must be {_LAYOUT}")
    for images, labels in pairs:
        if (images in archive.names) != (labels in archive.names):
            have, lack = (images, labels) if images in archive.names else (labels, images)
            raise DataError(f"{archive.path}: has {have} but no {lack}; the arrays must be {_LAYOUT}")
    whole, cut = "images" in archive.names, "x_train" in archive.names
    if whole == cut or (whole and archive.names & {"x_val", "x_test"}):
        raise DataError(
            f"{archive.path}: has {', '.join(sorted(archive.names)) or 'no arrays'}, but needs {_LAYOUT}"
        )


def _part(archive: ArrayArchive, names: tuple[str, str]) -> LabelledImages | None:
    if names[0] not in archive.names:
        return None
    images, labels = archive.images(names[0]), archive.labels(names[1])
    if len(images) != len(labels):
        raise DataError(
            f"{archive.path}: {names[0]} has {len(images)} images but {names[1]} has {len(labels)} labels; "
            "they must be as many"
        )
    return LabelledImages(images=images, labels=labels)


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
        return tuple(str(label) for label in range(highest + 1))
    names = archive.texts("class_names")
    if len(set(names)) < len(names):
        raise DataError(f"{archive.path}: class_names must differ from each other, but got {list(names)}")
    return names


def _symmetries(archive: ArrayArchive) -> tuple[str, ...]:
    names = archive.texts("symmetries") if "symmetries" in archive.names else ()
    if not set(names) <= set(SYMMETRIES):
        raise DataError(
            f"{archive.path}: symmetries must be some of {', '.join(SYMMETRIES)}, but got {list(names)}"
        )
    return names
