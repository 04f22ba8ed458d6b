"""Pixel reader: a split's images in batches, from wherever its size lets them lie.

================  ==================================  ==========================================================
device            images                              how batches come
================  ==================================  ==========================================================
CPU               in memory                           indexed where they are
CPU               mapped from a file                  read ahead by a thread
GPU               fit into a share of its memory      moved there once, indexed there
GPU               larger                              gathered ahead by a thread in pinned memory, from where
                                                      they are copied while the GPU computes
================  ==================================  ==========================================================

The batches are the same ones, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from functools import cache, partial
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from convscout.search_space.transfer import to_device
from convscout.trials.compute.read_ahead import read_ahead
from convscout.trials.data.mapped_images import Images, MappedImages, blocks

# Of a GPU's free memory: weights, activations and the splits of other workers need the rest.
DEVICE_SHARE = 0.25

Reader: TypeAlias = Callable[[Iterable[Tensor]], Generator[Tensor]]
"""From batches of indices (n,) on the CPU to those of images (n, H, W, C) uint8 on the device, in that order.

A generator that is not run to its end should be closed, so that no thread goes on reading for it.
"""


def pixel_reader(images: Images, device: torch.device, memory: int | None = None) -> Reader:
    """What reads ``images`` (N, H, W, C) onto ``device``.

    ``memory`` is how many bytes of a GPU they may take for as long as they are used (None: a share of what
    is free now).
    """
    if device.type == "cpu":
        gather = partial(_gather, images)
        return partial(read_ahead, gather) if isinstance(images, MappedImages) else partial(_at_once, gather)
    if images.nbytes <= (_room_on(device) if memory is None else memory):
        return partial(_at_once, partial(_index, _move(images, device)))
    return partial(_stream, images, device)


def _room_on(device: torch.device) -> int:
    free, _ = torch.cuda.mem_get_info(device)
    return int(DEVICE_SHARE * free)


def _at_once(read: Callable[[Tensor], Tensor], chunks: Iterable[Tensor]) -> Generator[Tensor]:
    """``read`` each of ``chunks`` when it is its turn."""
    for index in chunks:
        yield read(index)


def _gather(images: Images, index: Tensor, *, pinned: bool = False) -> Tensor:
    """A copy of the images at ``index``, on the CPU; if ``pinned``, where a GPU can fetch it by itself."""
    batch = torch.empty((len(index), *images.shape[1:]), dtype=torch.uint8, pin_memory=pinned)
    if isinstance(images, MappedImages):
        images.take(index.numpy(), batch.numpy())
    else:
        # with mode="raise", take would go through a buffer
        np.take(images, index.numpy(), axis=0, out=batch.numpy(), mode="clip")
    return batch


def _move(images: Images, device: torch.device) -> Tensor:
    """All ``images`` on ``device``, moved a block at a time, as they may not fit into the CPU's memory."""
    resident = torch.empty(images.shape, dtype=torch.uint8, device=device)
    first = 0
    for block in blocks(images):
        resident[first : first + len(block)] = torch.tensor(block)
        first += len(block)
    return resident


def _index(resident: Tensor, index: Tensor) -> Tensor:
    return resident[to_device(index, resident.device)]


def _stream(images: Images, device: torch.device, chunks: Iterable[Tensor]) -> Generator[Tensor]:
    """Batches copied to a GPU on a stream of their own, while its other streams compute.

    Pinned memory comes from torch's allocator, which gives out no block again before the copy from it is done
    (``ATen/cuda/CachingHostAllocator.h``).
    """
    stream = _copying_stream(torch.cuda.current_device() if device.index is None else device.index)

    def send(index: Tensor) -> tuple[Tensor, torch.cuda.Event]:
        batch = _gather(images, index, pinned=True)
        with torch.cuda.stream(stream):
            return batch.to(stream.device, non_blocking=True), stream.record_event()

    with closing(read_ahead(send, chunks)) as sent:
        for batch, arrived in sent:
            computing = torch.cuda.current_stream(device)
            computing.wait_event(arrived)
            batch.record_stream(computing)  # else its memory could be given out again while it is used there
            yield batch


@cache
def _copying_stream(device_index: int) -> torch.cuda.Stream:
    """The one stream of all copies to a GPU: torch's allocator keeps the freed memory of each stream for itself."""
    return torch.cuda.Stream(device_index)  # type: ignore[no-untyped-call]
