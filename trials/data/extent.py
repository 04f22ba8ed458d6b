"""Extent: how much of a source is read, at what size, and what there was to choose from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Available:
    """What a source has, known before most of it is read.

    ``num_train``, ``num_validation`` and ``num_test`` count the images of the splits that the source itself
    holds (0 where it holds none). ``side`` in pixels is what the images have unless another is asked for.
    ``read_s`` is about how long reading one image takes, in seconds (0 where all are read or cached already),
    ``resized_read_s`` the same at another size than ``side``, for which a cache is of no use.
    """

    num_train: int
    num_validation: int
    num_test: int
    num_classes: int
    side: int
    channels: int
    read_s: float = 0.0
    resized_read_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much is wanted: ``share`` in (0, 1] of each split's images, class by class.

    ``image_size`` is the side in pixels to bring them to (None: their own). ``validation_share`` in (0, 1) of the
    training images is held out, where the source has no validation split of its own.
    """

    share: float = 1.0
    image_size: int | None = None
    validation_share: float = 0.1

    def __post_init__(self) -> None:
        assert 0 < self.share <= 1, self.share
        assert 0 < self.validation_share < 1, self.validation_share


@dataclass(frozen=True, kw_only=True)
class Reading:
    """``extent`` of what was ``available``. ``chosen`` says that its share was chosen for whoever asked."""

    available: Available
    extent: Extent
    chosen: bool
