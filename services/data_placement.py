"""Data placement: where the images of a study lie, which goes by their size, and how a person is told."""

from __future__ import annotations

from dataclasses import replace

from services.placement import Machine, Placement
from services.units import format_bytes
from trials.batches import TrainingData
from trials.pixel_reader import DEVICE_SHARE
from trials.sources import MEMORY_SHARE
from trials.splits import DataSplits


def told(splits: DataSplits) -> str:
    """Whether the images lie in memory or stay in the cache."""
    size = format_bytes(splits.num_bytes)
    if splits.mapped_from is None:
        return f"images: {size}, in memory"
    return (
        f"images: {size}, memory-mapped from {splits.mapped_from}, "
        f"because that is more than {MEMORY_SHARE:.0%} of the free memory"
    )


def shared_out(data: TrainingData, placement: Placement, cluster: Machine | None = None) -> TrainingData:
    """``data`` with what part of a GPU a worker may fill with it."""
    if not placement.gpus:
        return data
    machine = cluster or Machine.here()
    return fitted(data, machine.free_bytes // placement.per_gpu)


def fitted(data: TrainingData, free_bytes: int) -> TrainingData:
    """``data`` for workers that have ``free_bytes`` of a GPU each."""
    return replace(data, device_bytes=int(DEVICE_SHARE * free_bytes))


def told_of_gpu(data: TrainingData) -> str | None:
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
