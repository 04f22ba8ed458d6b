"""Sources: from ``digits``, ``cifar10`` or ``folder:PATH`` to DataSplits.

A source reads labelled images from wherever they lie; ``load`` does what all of them need: check the
classes, take the part that is wanted, bring the images to one square size, and hold out what the source
did not hold out itself. A new source is one file in ``trials/data/datasets``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, TypeAlias

import numpy as np

from convscout.search_space.errors import ConfigError, DataError, Problem
from convscout.search_space.registry import Registry
from convscout.trials.compute.memory import available_memory
from convscout.trials.data.division import Rows, check_labels, divide
from convscout.trials.data.extent import Available as Available  # who asks for images knows these from here
from convscout.trials.data.extent import Extent as Extent
from convscout.trials.data.extent import Reading
from convscout.trials.data.image_files import square
from convscout.trials.data.levels import describe_flat
from convscout.trials.data.mapped_images import MappedImages
from convscout.trials.data.splits import BadImage, DataSplits, LabelledImages, Labels
from convscout.trials.data.white import FULL

SMALLEST_IMAGE, LARGEST_IMAGE = 4, 1024  # pixels a side
MUCH_CUT = 0.2  # of a picture: a person is told of more
# Of the free memory: through Ray images lie there twice, and the networks that are trained need the rest.
MEMORY_SHARE = 0.25

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told what is being done, how many are done and how many there are."""


@dataclass(frozen=True, kw_only=True)
class DataRequest:
    """Which images a study wants, and how.

    ``data`` is the name of a source, for some followed by ``:LOCATION``. ``data_dir`` is where
    downloaded data lies or goes (None: into ``cache``). ``image_size`` is the side in pixels to
    resize to (None: the images' own). ``validation_share`` of the training images (None: a tenth) is held out by
    ``seed`` unless the source has a validation split of its own. ``max_bad_images`` is the share of
    unreadable files that is skipped before giving up. ``cache`` holds decoded images and downloads.
    ``memory`` is how many bytes of decoded files may be held in memory (None: a share of what is free); more
    are read from the cache as they are needed. ``share`` in (0, 1] of each split's images is read, class by
    class. ``white`` is the level that is white in images of few levels (None: what they say themselves); an exported
    network says it of those that it is asked about. What ``share``, ``image_size`` and ``validation_share`` leave open
    (None), ``choose`` decides once it is known what there is; without it all images are read at their own size.
    """

    data: str
    data_dir: Path | None = None
    image_size: int | None = None
    validation_share: float | None = None
    max_bad_images: float = 0.01
    seed: int
    cache: Path
    memory: int | None = None
    share: float | None = None
    white: int | None = None
    choose: Callable[[Available], Extent] | None = None

    def __post_init__(self) -> None:
        problems = []
        if self.image_size is not None and not SMALLEST_IMAGE <= self.image_size <= LARGEST_IMAGE:
            rule = f"must be a whole number of pixels in [{SMALLEST_IMAGE}, {LARGEST_IMAGE}]"
            problems.append(Problem(field="image_size", value=self.image_size, rule=rule))
        if self.validation_share is not None and not 0 < self.validation_share <= 0.5:
            rule = "must be a share in (0, 0.5]"
            problems.append(Problem(field="validation_share", value=self.validation_share, rule=rule))
        if not 0 <= self.max_bad_images < 1:
            rule = "must be a share in [0, 1)"
            problems.append(Problem(field="max_bad_images", value=self.max_bad_images, rule=rule))
        if self.share is not None and not 0 < self.share <= 1:
            rule = "must be a share in (0, 1]"
            problems.append(Problem(field="share", value=self.share, rule=rule))
        if problems:
            raise ConfigError(problems)

    @property
    def asks(self) -> bool:
        """Whether ``choose`` has something to decide."""
        return self.choose is not None and None in (self.share, self.image_size, self.validation_share)

    def reading(self, available: Available) -> Reading:
        """What is read of what is ``available``."""
        chosen = self.choose(available) if self.choose and self.asks else Extent()
        extent = Extent(
            share=self.share or chosen.share,
            image_size=self.image_size or chosen.image_size,
            validation_share=self.validation_share or chosen.validation_share,
        )
        return Reading(available=available, extent=extent, chosen=self.share is None)

    def divide(
        self, labels: Mapping[str, Labels], reading: Reading, class_names: tuple[str, ...]
    ) -> dict[str, Rows]:
        """The rows of the three splits that are read of images with ``labels`` (see ``trials/data/division.py``)."""
        return divide(
            labels,
            share=reading.extent.share,
            validation_share=reading.extent.validation_share,
            seed=self.seed,
            class_names=class_names,
        )

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
    """What a source holds. A split that it does not hold is None and is taken out of ``train``.

    ``white`` is the level that was taken for white (see ``trials/data/white.py``).
    ``notes`` are sentences for a person: what was guessed, changed or left out on the way.
    A source that reads no more than is wanted gives all three splits, and says in ``reading`` what they are of all.
    ``declared`` says that a person declared the ``symmetries``, and others than would be taken to hold otherwise.
    """

    train: LabelledImages
    validation: LabelledImages | None = None
    test: LabelledImages | None = None
    class_names: tuple[str, ...]
    symmetries: tuple[str, ...] = ()
    declared: bool = False
    skipped: tuple[BadImage, ...] = ()
    white: int = FULL
    notes: tuple[str, ...] = ()
    reading: Reading | None = None

    @property
    def parts(self) -> dict[str, LabelledImages]:
        """The splits that the source does hold."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in named.items() if part is not None}

    @property
    def labels(self) -> dict[str, Labels]:
        """Those of the splits that the source does hold."""
        return {name: part.labels for name, part in self.parts.items()}


class Source(ABC):
    """Reads labelled images. A source is a subclass, registered with ``@sources.register(NAME)``.

    ``location`` is what the name must be followed by (``PATH`` for ``folder:PATH``), or empty.

        import numpy as np
        from convscout.trials.data.sources import Source, SourceImages, sources
        from convscout.trials.data.splits import LabelledImages

        @sources.register("stripes")
        class Stripes(Source):
            def read(self, request, progress):
                labels = np.arange(400, dtype=np.int64) % 2
                images = np.random.default_rng(0).integers(128, size=(400, 8, 8, 1), dtype=np.uint8)
                images[labels == 0, ::2] += 127
                images[labels == 1, :, ::2] += 127
                return SourceImages(
                    train=LabelledImages(images=images, labels=labels), class_names=("lying", "standing")
                )
    """

    name: ClassVar[str]
    location: ClassVar[str] = ""

    @abstractmethod
    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        """All images of the source, the same each time; of those that it holds out itself, none is in ``train``.

        Raises ``DataError`` saying what is wrong, with the location if there is one, and how to mend it.
        """


sources: Registry[type[Source]] = Registry(
    "dataset", package="convscout.trials.data.datasets", group="convscout.datasets"
)


def load(request: DataRequest, progress: Progress | None = None) -> DataSplits:
    """The images of ``request`` in three splits.

    Test images that the source does not name are a stratified 20 %, the same for every seed.
    Raises ``DataError`` or ``UnknownNameError``.
    """
    found = _source(request).read(request, progress or _silent)
    check_labels(request.data, found.labels, found.class_names)
    found = found if found.reading else _part(found, request)
    held = sum(part.images.nbytes for part in found.parts.values()) <= _room(request)
    parts = {name: _finish(part, held=held) for name, part in found.parts.items()}
    return DataSplits(
        name=request.data,
        train=parts["train"],
        validation=parts["validation"],
        _test=parts["test"],
        class_names=found.class_names,
        symmetries=found.symmetries,
        declared=found.declared,
        skipped=found.skipped,
        white=found.white,
        notes=(*found.notes, *describe_flat(parts["train"])),
        reading=found.reading,
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


def _part(found: SourceImages, request: DataRequest) -> SourceImages:
    """The part of ``found``, which is all that its source has, that ``request`` wants, in three splits."""
    reading = request.reading(_available(found))
    rows = request.divide(found.labels, reading, found.class_names)
    size = reading.extent.image_size or reading.available.side
    parts = {
        name: _square(found.parts.get(name, found.train).at(index), size) for name, index in rows.items()
    }
    return replace(
        found,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        notes=(*found.notes, *_describe_cut(found.train)),
        reading=reading,
    )


def _describe_cut(part: LabelledImages) -> tuple[str, ...]:
    """A sentence where much of images, which all are of one size, is cut off."""
    _, height, width, _ = part.images.shape
    cut = 1 - min(height, width) / max(height, width)
    if cut <= MUCH_CUT:
        return ()
    return (
        f"the square in the middle is read, without {cut:.0%} of each picture; "
        "crop the images where what matters lies at an edge",
    )


def _available(found: SourceImages) -> Available:
    _, height, width, channels = found.train.images.shape
    return Available(
        num_train=len(found.train),
        num_validation=len(found.validation or ()),
        num_test=len(found.test or ()),
        num_classes=len(found.class_names),
        side=min(height, width),
        channels=channels,
    )


def _square(part: LabelledImages, size: int) -> LabelledImages:
    """``part`` with images of ``size`` pixels a side; those in a file are as its source wants them."""
    if isinstance(part.images, MappedImages):
        return part
    return LabelledImages(images=square(part.images, size), labels=part.labels)


def _room(request: DataRequest) -> int:
    """Bytes of images that may be held in memory."""
    return int(MEMORY_SHARE * available_memory()) if request.memory is None else request.memory


def _finish(part: LabelledImages, *, held: bool) -> LabelledImages:
    """``part`` in memory of its own, so that the source's can go; unless ``held``, what lies in a file stays there."""
    if isinstance(part.images, MappedImages):
        return LabelledImages(images=part.images[:], labels=part.labels) if held else part
    return LabelledImages(images=np.ascontiguousarray(part.images), labels=part.labels)
