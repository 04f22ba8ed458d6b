"""Batches: a split, normalised and augmented a whole batch at a time.

Shapes: N images of C channels, H × W pixels, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from convscout.search_space.architecture import ImageSpec
from convscout.search_space.augmentation import Augmentation
from convscout.search_space.transfer import to_device
from convscout.trials.data.pixel_reader import pixel_reader
from convscout.trials.data.splits import DataSplits, LabelledImages, Normalization

# Of fewer images, dropout can empty a map, and BatchNorm then blows its gradient up.
SMALLEST_BATCH = 8
EVALUATION_BATCH = {"cpu": 256, "cuda": 1024}  # images; with more a CPU's caches overflow


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingData:
    """What a worker needs of a study's data: everything but the test split.

    ``device_bytes`` is how many bytes of a GPU a worker may fill with each split (None: a share of what is
    free when a trial begins). With a ``teacher``, networks learn what it answers instead of the labels: from
    normalised images (N, C, H, W) to probabilities (N, K).
    """

    train: LabelledImages
    validation: LabelledImages
    image: ImageSpec
    normalization: Normalization
    fingerprint: str
    device_bytes: int | None = None
    teacher: nn.Module | None = None

    @classmethod
    def of(cls, splits: DataSplits) -> Self:
        """The part of ``splits`` that training may see."""
        return cls(
            train=splits.train,
            validation=splits.validation,
            image=splits.image,
            normalization=splits.normalization,
            fingerprint=splits.fingerprint,
        )


class Batches:
    """One split, ready to be drawn from in normalised batches on ``device``.

    Where its pixels lie goes by their size (``trials/data/pixel_reader.py``); the batches are the same.
    ``memory`` is how many bytes of a GPU the pixels may take (None: a share of what is free now).
    """

    def __init__(
        self,
        data: LabelledImages,
        normalization: Normalization,
        *,
        num_classes: int,
        device: torch.device,
        memory: int | None = None,
    ) -> None:
        self._read = pixel_reader(data.images, device, memory)
        self._labels = torch.tensor(data.labels, device=device)
        self.num_classes = num_classes
        self._device = device
        # (x / 255 - mean) / std as one multiply-add on bytes
        mean, std = torch.tensor(normalization.mean), torch.tensor(normalization.std)
        self._scale = (1 / (255 * std)).view(1, -1, 1, 1).to(device)  # (1, C, 1, 1)
        self._shift = (-mean / std).view(1, -1, 1, 1).to(device)  # (1, C, 1, 1)

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def labels(self) -> Tensor:
        """(N,) int64."""
        return self._labels

    def shuffled(
        self,
        batch_size: int,
        augmentation: Augmentation,
        generator: torch.Generator,
        mirrored: Tensor | None = None,
    ) -> Generator[tuple[Tensor, Tensor]]:
        """One epoch in random order: images (N, C, H, W) float32 and targets (N, K), class probabilities.

        All randomness comes from ``generator``. A last batch of fewer than ``SMALLEST_BATCH`` joins the one
        before it. Images that are ``mirrored``, (N,) bool, are so left to right before ``augmentation``.
        """
        order = torch.randperm(len(self), generator=generator)
        chunks = list(torch.split(order, batch_size))
        if len(chunks) > 1 and len(chunks[-1]) < SMALLEST_BATCH:
            chunks[-2:] = [torch.cat(chunks[-2:])]
        with closing(self._read(chunks)) as read:
            for index, pixels in zip(chunks, read, strict=True):
                labels = self._labels[to_device(index, self._device)]
                targets = one_hot(labels, self.num_classes).float()
                if mirrored is not None:
                    turned = to_device(mirrored[index], self._device)[:, None, None, None]
                    pixels = torch.where(turned, pixels.flip(2), pixels)  # (N, H, W, C)
                yield augmentation.apply(self._normalise(pixels), targets, generator)

    def in_order(self, batch_size: int | None = None) -> Iterator[Tensor]:
        """All images once, in their own order, (N, C, H, W) float32."""
        batch_size = batch_size or EVALUATION_BATCH[self._device.type]
        with closing(self._read(torch.split(torch.arange(len(self)), batch_size))) as read:
            yield from map(self._normalise, read)

    def spread(self, count: int) -> Tensor:
        """At most ``count`` images evenly spread over the split, (N, C, H, W) float32; always the same ones."""
        (pixels,) = self._read([torch.arange(0, len(self), math.ceil(len(self) / count))])
        return self._normalise(pixels)

    def _normalise(self, pixels: Tensor) -> Tensor:
        # (N, H, W, C) bytes seen as (N, C, H, W) are channels-last, and stay so through the arithmetic
        return pixels.permute(0, 3, 1, 2).float().mul_(self._scale).add_(self._shift)
