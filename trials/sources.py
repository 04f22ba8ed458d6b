"""Sources: from ``digits``, ``cifar10`` or ``folder:PATH`` to DataSplits.

A source reads labelled images from wherever they lie; ``load`` does what all of them need: check the
classes, bring the images to one square size, and hold out what the source did not hold out itself.
A new source is one file in ``trials/datasets``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeAlias

import numpy as np

from search_space.errors import ConfigError, DataError, Problem
from search_space.registry import Registry
from trials.image_files import squared
from trials.mapped_images import MappedImages
from trials.memory import available_memory
from trials.splits import BadImage, DataSplits, LabelledImages, stratified_split

TEST_SHARE = 0.2
TEST_SEED = 1797  # a constant, so that every study of the same images is judged on the same test split
SMALLEST_IMAGE, LARGEST_IMAGE = 4, 1024  # pixels a side
# Of the free memory: through Ray images lie there twice, and the networks that are trained need the rest.
MEMORY_SHARE = 0.25
NUM_NAMED = 5  # how many classes or files an error lists

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told what is being done, how many are done and how many there are."""


@dataclass(frozen=True, kw_only=True)
class DataRequest:
    """Which images a study wants, and how.

    ``data`` is the name of a source, for some followed by ``:LOCATION``. ``data_dir`` is where
    downloaded data lies or goes (None: into ``cache``). ``image_size`` is the side in pixels to
    resize to (None: the images' own). ``validation_share`` of the training images is held out by
    ``seed`` unless the source has a validation split of its own. ``max_bad_images`` is the share of
    unreadable files that is skipped before giving up. ``cache`` holds decoded images and downloads.
    ``memory`` is how many bytes of decoded files may be held in memory (None: a share of what is free); more
    are read from the cache as they are needed.
    """

    data: str
    data_dir: Path | None = None
    image_size: int | None = None
    validation_share: float = 0.1
    max_bad_images: float = 0.01
    seed: int
    cache: Path
    memory: int | None = None

    def __post_init__(self) -> None:
        problems = []
        if self.image_size is not None and not SMALLEST_IMAGE <= self.image_size <= LARGEST_IMAGE:
            rule = f"must be a whole number of pixels in [{SMALLEST_IMAGE}, {LARGEST_IMAGE}]"
            problems.append(Problem(field="image_size", value=self.image_size, rule=rule))
        if not 0 < self.validation_share <= 0.5:
            rule = "must be a share in (0, 0.5]"
            problems.append(Problem(field="validation_share", value=self.validation_share, rule=rule))
        if not 0 <= self.max_bad_images < 1:
            rule = "must be a share in [0, 1)"
            problems.append(Problem(field="max_bad_images", value=self.max_bad_images, rule=rule))
        if problems:
            raise ConfigError(problems)

    @property
    def source(self) -> str:
        """The name of the source: ``folder`` of ``folder:PATH``."""
        return self.data.partition(":")[0]

    @property
    def location(self) -> str:
        """What follows the name of the source: ``PATH`` of ``folder:PATH``; empty where nothing does."""
        return self.data.partition(":")[2]


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceImages:
    """What a source holds. A split that it does not hold is None and is taken out of ``train``."""

    train: LabelledImages
    validation: LabelledImages | None = None
    test: LabelledImages | None = None
    class_names: tuple[str, ...]
    symmetries: tuple[str, ...] = ()
    skipped: tuple[BadImage, ...] = ()

    @property
    def parts(self) -> dict[str, LabelledImages]:
        """The splits that the source does hold."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in named.items() if part is not None}


class Source(ABC):
    """Reads labelled images. A source is a subclass, registered with ``@sources.register(NAME)``.

    ``location`` is what the name must be followed by (``PATH`` for ``folder:PATH``), or empty.
    """

    name: ClassVar[str]
    location: ClassVar[str] = ""

    @abstractmethod
    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        """All images of the source. Raises ``DataError`` saying what is wrong and how to mend it."""


sources: Registry[type[Source]] = Registry("dataset", package="trials.datasets", group="convscout.datasets")


def load(request: DataRequest, progress: Progress | None = None) -> DataSplits:
    """The images of ``request`` in three splits.

    Test images that the source does not name are a stratified 20 %, the same for every seed.
    Raises ``DataError`` or ``UnknownNameError``.
    """
    found = _source(request).read(request, progress or _silent)
    _check_classes(request.data, found)
    size = request.image_size or min(found.train.images.shape[1:3])
    held = sum(part.images.nbytes for part in found.parts.values()) <= _room(request)
    train, validation, test = found.train, found.validation, found.test
    if test is None:
        train, test = _hold_out(train, TEST_SHARE, TEST_SEED, found.class_names)
    if validation is None:
        train, validation = _hold_out(train, request.validation_share, request.seed, found.class_names)
    return DataSplits(
        name=request.data,
        train=_finished(train, size, held=held),
        validation=_finished(validation, size, held=held),
        _test=_finished(test, size, held=held),
        class_names=found.class_names,
        symmetries=found.symmetries,
        skipped=found.skipped,
    )


def _silent(description: str, done: int, total: int) -> None:
    pass


def _source(request: DataRequest) -> Source:
    source = sources.get(request.source)
    if source.location and not request.location:
        raise DataError(f"data {request.data!r} lacks its location; write {source.name}:{source.location}")
    if request.location and not source.location:
        raise DataError(f"data {request.data!r}: {source.name} takes no location; write just {source.name}")
    return source()


def _hold_out(
    images: LabelledImages, share: float, seed: int, class_names: tuple[str, ...]
) -> tuple[LabelledImages, LabelledImages]:
    kept, held = stratified_split(images.labels, share, seed, class_names)
    return images.at(kept), images.at(held)


def _room(request: DataRequest) -> int:
    """Bytes of images that may be held in memory."""
    return int(MEMORY_SHARE * available_memory()) if request.memory is None else request.memory


def _finished(part: LabelledImages, size: int, *, held: bool) -> LabelledImages:
    """``part`` with images of ``size`` pixels a side, in memory of its own, so that the source's can go.

    Unless ``held``, images that lie in a file stay there.
    """
    if isinstance(part.images, MappedImages):
        return LabelledImages(images=part.images[:], labels=part.labels) if held else part
    images = squared(part.images, size)
    if images.base is not None or not images.flags.c_contiguous:
        images = images.copy(order="C")
    return LabelledImages(images=images, labels=part.labels)


def _check_classes(data: str, found: SourceImages) -> None:
    """Every split has images and legal labels, and every class enough of them to be split."""
    num_classes = len(found.class_names)
    if num_classes < 2:
        raise DataError(
            f"{data}: needs at least two classes, but has {num_classes}: {_listed(found.class_names)}"
        )
    for name, part in found.parts.items():
        if not len(part):
            raise DataError(f"{data}: the {name} split has no images")
        low, high = part.labels.min(), part.labels.max()
        if low < 0 or high >= num_classes:
            wrong = low if low < 0 else high
            raise DataError(
                f"{data}: labels must lie in [0, {num_classes - 1}], as there are {num_classes} classes, "
                f"but the {name} split has label {wrong}"
            )
    _check_counts(data, found)


def _check_counts(data: str, found: SourceImages) -> None:
    num_images, num_classes = len(found.train), len(found.class_names)
    if num_images < num_classes:
        raise DataError(
            f"{data}: has fewer training images ({num_images}) than classes ({num_classes}); "
            "add images, or check that the labels are classes and not, say, numbers of the images"
        )
    needed = 1 + (found.validation is None) + (found.test is None)  # one for each split taken out of it
    counts = np.bincount(found.train.labels, minlength=num_classes)
    short = [f"{name} ({n})" for name, n in zip(found.class_names, counts, strict=True) if n < needed]
    if short:
        raise DataError(
            f"{data}: each class needs at least {needed} readable training image(s), so that each split gets "
            f"one, but these have fewer: {_listed(short)}; add images or remove the class"
        )


def _listed(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - NUM_NAMED} more" if len(names) > NUM_NAMED else ""
    return ", ".join(names[:NUM_NAMED]) + more
