"""DataSplits: labelled images cut into train, validation and test, with a fingerprint of their content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from convscout.search_space.architecture import ImageSpec
from convscout.search_space.errors import DataError
from convscout.trials.data.extent import Available, Reading
from convscout.trials.data.mapped_images import Images, MappedImages, blocks
from convscout.trials.data.mapped_images import Pixels as Pixels  # most know pixels from here
from convscout.trials.data.white import FULL

Labels = npt.NDArray[np.int64]

HORIZONTAL_FLIP = "horizontal_flip"
SYMMETRIES = (HORIZONTAL_FLIP,)  # every symmetry that a dataset may declare


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledImages:
    """``images`` (N, H, W, C) uint8 and ``labels`` (N,) int64, each in [0, number of classes)."""

    images: Images
    labels: Labels

    def __post_init__(self) -> None:
        assert self.images.dtype == np.uint8 and self.images.ndim == 4, (self.images.dtype, self.images.shape)
        assert self.labels.dtype == np.int64 and self.labels.shape == self.images.shape[:1]

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, index: npt.NDArray[np.intp]) -> LabelledImages:
        """The images at ``index``: a copy, or a view where they lie in a file."""
        held = self.images
        images = held.at(index) if isinstance(held, MappedImages) else held[index]
        return LabelledImages(images=images, labels=self.labels[index])

    def part(self, share: float) -> LabelledImages:
        """That ``share`` of the images, in (0, 1], and of each class as nearly as may be; always the same ones."""
        if share == 1:
            return self
        count = max(1, round(share * len(self)))
        by_class = np.argsort(self.labels, kind="stable")
        return self.at(np.sort(by_class[np.arange(count) * len(self) // count]))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All images of ``parts``, one after another; those that lie in one file stay there."""
        held = [part.images for part in parts]
        mapped = [images for images in held if isinstance(images, MappedImages)]
        labels = np.concatenate([part.labels for part in parts])
        if len(mapped) == len(held) and len({images.file for images in mapped}) == 1:
            rows = np.concatenate([images.rows for images in mapped])
            return cls(images=MappedImages(mapped[0].file, rows), labels=labels)
        return cls(images=np.concatenate([images[:] for images in held]), labels=labels)

    @property
    def memory_bytes(self) -> int:
        """What the images take of the memory: of those that lie in a file, only where they lie there."""
        return self.images.rows.nbytes if isinstance(self.images, MappedImages) else self.images.nbytes


@dataclass(frozen=True, kw_only=True)
class BadImage:
    """A file that could not be read as an image, and why."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class DataSplits:
    """Everything a study knows of its data.

    The test split is behind ``open_test`` so that only the final evaluation reaches it.
    ``symmetries`` names the changes that keep labels true (see ``ImageSpec``), ``declared`` says that a person declared
    them, and others than would be taken to hold otherwise. ``skipped`` lists files that were left out as unreadable.
    ``white`` is the level that was taken for white in them (see ``trials/data/white.py``). ``notes`` tells what else a
    person should know of how the images were read. ``reading`` says what part of all there is this is, where it was
    loaded from a source.
    """

    name: str
    train: LabelledImages
    validation: LabelledImages
    class_names: tuple[str, ...]
    symmetries: tuple[str, ...] = ()
    declared: bool = False
    skipped: tuple[BadImage, ...] = ()
    white: int = FULL
    notes: tuple[str, ...] = ()
    reading: Reading | None = None
    _test: LabelledImages = field(repr=False)

    def __post_init__(self) -> None:
        parts = (self.train, self.validation, self._test)
        shapes = {part.images.shape[1:] for part in parts}
        if len(shapes) > 1 or self.train.images.shape[1] != self.train.images.shape[2]:
            raise DataError(
                f"{self.name}: images must be square and all of one size, but got {sorted(shapes)}"
            )

    def open_test(self) -> LabelledImages:
        """The test split, for the final evaluation alone."""
        return self._test

    @property
    def num_test(self) -> int:
        """How many images the test split has."""
        return len(self._test)

    @property
    def share(self) -> float:
        """Of each split's images, what share was read."""
        return self.reading.extent.share if self.reading else 1.0

    @property
    def available(self) -> Available | None:
        """What there was to read, where that is known."""
        return self.reading.available if self.reading else None

    @property
    def image(self) -> ImageSpec:
        """What a network for this data must accept and answer."""
        _, size, _, channels = self.train.images.shape
        return ImageSpec(
            in_channels=channels,
            image_size=size,
            num_classes=len(self.class_names),
            symmetries=self.symmetries,
        )

    @property
    def num_bytes(self) -> int:
        """Bytes of all pixels."""
        return sum(part.images.nbytes for part in (self.train, self.validation, self._test))

    @property
    def mapped_from(self) -> Path | None:
        """The file that the pixels are read from as they are needed; None where they lie in memory."""
        images = self.train.images
        return images.file.path if isinstance(images, MappedImages) else None

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over every split's pixels and labels, the class names, what is white, and declared symmetries.

        Size, channels, share, splits and seed decide which pixels these are. Symmetries that were not declared follow
        from the source and the class names.
        """
        return self._contents[0]

    @cached_property
    def normalization(self) -> Normalization:
        """Mean and deviation of the training pixels, a channel each."""
        counts = self._contents[1]  # (C, 256)
        levels = np.arange(256) / 255
        total = counts.sum(axis=1)
        mean = (counts * levels).sum(axis=1) / total
        variance = (counts * levels**2).sum(axis=1) / total - mean**2
        std = np.maximum(np.sqrt(np.maximum(variance, 0)), 1e-3)
        return Normalization(mean=tuple(map(float, mean)), std=tuple(map(float, std)))

    @cached_property
    def _contents(self) -> tuple[str, npt.NDArray[np.int64]]:
        """The fingerprint and the levels' counts in training, found together, as the pixels may be on a disk."""
        digest = hashlib.sha256(repr(self.class_names).encode())
        if self.declared:
            digest.update(repr(sorted(self.symmetries)).encode())
        if self.white < FULL:  # another white may give the same pixels, and means others
            digest.update(f"white {self.white}".encode())
        counts = np.zeros((self.image.in_channels, 256), dtype=np.int64)
        for part, trained_on in ((self.train, True), (self.validation, False), (self._test, False)):
            digest.update(repr(part.images.shape).encode())
            for block in blocks(part.images):
                digest.update(np.ascontiguousarray(block).data)
                if trained_on:
                    counts += _histograms(block)
            digest.update(np.ascontiguousarray(part.labels).data)
        return digest.hexdigest(), counts


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """``mean`` and ``std`` a channel, of pixels scaled to [0, 1]; the network sees (x / 255 - mean) / std."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def _histograms(images: Pixels) -> npt.NDArray[np.int64]:
    """How often each of the 256 levels occurs in each channel: (N, H, W, C) → (C, 256)."""
    channels = range(images.shape[3])
    return np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in channels])


def stratified_split(
    labels: Labels, share: float, seed: int, class_names: Sequence[str] = ()
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Indices (kept, held out), both shuffled by ``seed``, with ``share`` of every class held out.

    Of each class at least one image is held out and at least one kept; a class of a single image
    raises ``DataError``, which calls it by its name in ``class_names`` where that is given.
    """
    rng = np.random.default_rng(seed)
    kept, held = [], []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        if len(members) < 2:
            name = class_names[label] if class_names else label
            raise DataError(
                f"class {name!r} has only 1 image, so none can be held out; each class needs at least 2"
            )
        count = min(max(1, round(share * len(members))), len(members) - 1)
        held.append(members[:count])
        kept.append(members[count:])
    return rng.permutation(np.concatenate(kept)), rng.permutation(np.concatenate(held))
