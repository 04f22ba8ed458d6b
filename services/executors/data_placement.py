"""Data placement: where the images of a study lie, which goes by their size, and how a person is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from convscout.services.config.units import format_bytes
from convscout.services.executors.placement import Machine, Placement
from convscout.trials.data.batches import TrainingData
from convscout.trials.data.extent import Available
from convscout.trials.data.pixel_reader import DEVICE_SHARE
from convscout.trials.data.sources import MEMORY_SHARE
from convscout.trials.data.splits import DataSplits


def describe_placement(splits: DataSplits) -> str:
    """Whether the images lie in memory or stay in the cache, and where they are fewer or smaller than there are."""
    return "; ".join([_describe_place(splits), *_describe_part(splits), *_describe_size(splits)])


def _describe_place(splits: DataSplits) -> str:
    size = format_bytes(splits.num_bytes)
    if splits.mapped_from is None:
        return f"images: {size}, in memory"
    return (
        f"images: {size}, memory-mapped from {splits.mapped_from}, "
        f"because that is more than {MEMORY_SHARE:.0%} of the free memory"
    )


def _describe_part(splits: DataSplits) -> Iterator[str]:
    if splits.reading and splits.share < 1:
        why = "the time has no room for more" if splits.reading.chosen else f"a share of {splits.share:g}"
        counts = ", ".join(_counts(splits, splits.reading.available))
        yield f"reads {counts}: {why} (all with --data-share 1)"


def _counts(splits: DataSplits, available: Available) -> Iterator[str]:
    """How many images were read of how many, by split as the source has them."""
    validation, test = len(splits.validation), splits.num_test
    train = len(splits.train)
    train += 0 if available.num_validation else validation
    train += 0 if available.num_test else test
    kind = "training images" if available.num_test else "images"
    yield f"{train:,} of {available.num_train:,} {kind}"
    if available.num_validation:
        yield f"{validation:,} of {available.num_validation:,} validation images"
    if available.num_test:
        yield f"{test:,} of {available.num_test:,} test images"


def _describe_size(splits: DataSplits) -> Iterator[str]:
    size = splits.image.image_size
    if splits.available and size < (own := splits.available.side):
        yield f"at {size} x {size} instead of {own} x {own} pixels (other sizes with --image-size)"


def share_gpu(data: TrainingData, placement: Placement, cluster: Machine | None = None) -> TrainingData:
    """``data`` with what part of a GPU a worker may fill with it."""
    if not placement.gpus:
        return data
    machine = cluster or Machine.here()
    return fit_to_gpu(data, machine.free_bytes // placement.per_gpu)


def fit_to_gpu(data: TrainingData, free_bytes: int) -> TrainingData:
    """``data`` for workers that have ``free_bytes`` of a GPU each."""
    return replace(data, device_bytes=int(DEVICE_SHARE * free_bytes))


def describe_gpu(data: TrainingData) -> str | None:
    """Whether each worker holds the images on its GPU or has them streamed there; None without a GPU."""
    if data.device_bytes is None:
        return None
    size, room = format_bytes(data.train.images.nbytes), format_bytes(data.device_bytes)
    if data.train.images.nbytes <= data.device_bytes:
        return f"training images: {size}, held on the GPU by each worker"
    return (
        f"training images: {size}, streamed to the GPU ahead of need, because that is more than "
        f"the {room} that a worker may fill with them"
    )
