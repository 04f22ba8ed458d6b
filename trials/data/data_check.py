"""Data check: what a person should know of labelled images before a search spends time on them.

Images of the test split are counted and compared by a hash of their pixels, and never shown.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from convscout.trials.data.splits import BadImage, DataSplits, LabelledImages

NUM_EXAMPLES = 5


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an image is: the ``index``-th of ``split``, labelled ``class_name``."""

    split: str
    index: int
    class_name: str


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Images that occur more than once, pixel by pixel.

    ``num_images`` counts them, ``examples`` holds the places of the first few.
    """

    num_images: int
    examples: tuple[tuple[Place, ...], ...]


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """What ``check`` found.

    ``sizes`` is the number of images by split, ``class_counts`` that by split and class. ``balance``
    is the smallest class of the training split over the largest, 1 when all are as large.
    ``shared`` are images that occur in more than one split, by the names of the two; those of the
    test split make its accuracy too good. ``conflicting`` are images that occur with different labels.
    ``notes`` tells what was guessed, changed or left out when the images were read.
    """

    name: str
    fingerprint: str
    image_size: int
    channels: int
    symmetries: tuple[str, ...]
    sizes: dict[str, int]
    class_counts: dict[str, dict[str, int]]
    balance: float
    shared: dict[str, Duplicates]
    conflicting: Duplicates
    bad_files: tuple[BadImage, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def check(splits: DataSplits) -> DataReport:
    """Count, compare and describe the images of ``splits``."""
    parts = _parts(splits)
    num_classes = len(splits.class_names)
    counts = {name: np.bincount(part.labels, minlength=num_classes) for name, part in parts.items()}
    repeated = [places for places in _by_pixels(splits).values() if len(places) > 1]
    return DataReport(
        name=splits.name,
        fingerprint=splits.fingerprint,
        image_size=splits.image.image_size,
        channels=splits.image.in_channels,
        symmetries=splits.symmetries,
        sizes={name: len(part) for name, part in parts.items()},
        class_counts={
            name: dict(zip(splits.class_names, found.tolist(), strict=True)) for name, found in counts.items()
        },
        balance=float(counts["train"].min() / counts["train"].max()),
        shared=dict(_find_shared(repeated, tuple(parts))),
        conflicting=_summary(
            [places for places in repeated if len({place.class_name for place in places}) > 1]
        ),
        bad_files=splits.skipped,
        notes=splits.notes,
    )


def _parts(splits: DataSplits) -> dict[str, LabelledImages]:
    return {"train": splits.train, "validation": splits.validation, "test": splits.open_test()}


def _by_pixels(splits: DataSplits) -> dict[bytes, list[Place]]:
    """The places of each distinct image, by a hash of its pixels."""
    places: defaultdict[bytes, list[Place]] = defaultdict(list)
    for split, part in _parts(splits).items():
        for index, (pixels, label) in enumerate(zip(part.images, part.labels, strict=True)):
            digest = hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()
            places[digest].append(Place(split=split, index=index, class_name=splits.class_names[label]))
    return places


def _find_shared(repeated: list[list[Place]], names: tuple[str, ...]) -> Iterator[tuple[str, Duplicates]]:
    for pair in combinations(names, 2):
        both = [places for places in repeated if {place.split for place in places} >= set(pair)]
        yield " and ".join(pair), _summary(both)


def _summary(groups: list[list[Place]]) -> Duplicates:
    return Duplicates(num_images=len(groups), examples=tuple(tuple(group) for group in groups[:NUM_EXAMPLES]))
