"""How the CIFAR-10 speed runs train: Muon for filters, SGD for the rest, alternating flip and small shifts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from benchmarks.league_sides.contestant import Images
from benchmarks.league_sides.speed_network import SpeedNet
from benchmarks.league_sides.torch_parts import HALF

SHIFT = 2  # pixels
RATE, MOMENTUM = 0.24, 0.6  # of Muon
BIAS_RATE, HEAD_RATE, SGD_MOMENTUM = 0.053, 0.67, 0.85
DECAY = 2e-6  # of weights, an image of a batch


class Batches:
    """Training images in random order, each shifted at random and mirrored in every other epoch."""

    def __init__(self, images: Images, size: int) -> None:
        border = (SHIFT, SHIFT)
        padded = np.pad(images.x_train, ((0, 0), border, border, (0, 0)), mode="reflect")
        self._padded, self._labels = torch.from_numpy(padded), torch.from_numpy(images.y_train)
        self._height, self._width = images.x_train.shape[1:3]
        self.size, self._mirror = size, images.mirror
        self._mirrored_first = torch.rand(len(self._labels)) < 0.5
        self.steps = len(self._labels) // size  # of an epoch

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch."""
        order = torch.randperm(len(self._labels))
        for chosen in order.split(self.size)[: self.steps]:
            yield self._pixels(chosen, number), self._labels[chosen]

    def _pixels(self, chosen: Tensor, epoch: int) -> Tensor:
        down, right = torch.randint(0, 2 * SHIFT + 1, (2, len(chosen), 1))
        rows, columns = down + torch.arange(self._height), right + torch.arange(self._width)
        if self._mirror:
            mirrored = self._mirrored_first[chosen, None] ^ bool(epoch % 2)
            columns = torch.where(mirrored, columns.flip(1), columns)
        pixels = self._padded[chosen[:, None, None], rows[:, :, None], columns[:, None, :]]
        return pixels.permute(0, 3, 1, 2)


class Optimizer:
    """Steps whose size falls linearly to nothing; that of the first layer's bias falls faster."""

    def __init__(self, network: SpeedNet, batch_size: int) -> None:
        self._filters = [each for each in network.blocks.parameters() if each.ndim == 4]
        self._momenta = [torch.zeros_like(each) for each in self._filters]
        norms = [each for each in network.blocks.parameters() if each.ndim == 1 and each.requires_grad]
        rates = (
            ([network.whitening.bias], BIAS_RATE),
            (norms, BIAS_RATE),
            ([network.head.weight], HEAD_RATE),
        )
        self._sgd = torch.optim.SGD(
            [
                {"params": parameters, "lr": rate, "full": rate, "weight_decay": DECAY * batch_size / rate}
                for parameters, rate in rates
            ],
            momentum=SGD_MOMENTUM,
            nesterov=True,
        )

    @torch.no_grad()
    def step(self, left: float, whitening_left: float) -> None:
        """One step of ``left`` times the full size, ``whitening_left`` times for the first layer's bias."""
        for group, share in zip(self._sgd.param_groups, (whitening_left, left, left), strict=True):
            group["lr"] = share * group["full"]
        self._sgd.step()
        self._sgd.zero_grad()
        for weight, momentum in zip(self._filters, self._momenta, strict=True):
            momentum.mul_(MOMENTUM).add_(weight.grad)
            update = orthogonal(weight.grad.add(momentum, alpha=MOMENTUM).flatten(1))
            weight.mul_(len(weight) ** 0.5 / weight.norm())  # filters turn, and keep their length
            weight.sub_(update.view_as(weight), alpha=RATE * left)
            weight.grad = None


def orthogonal(matrix: Tensor) -> Tensor:
    """Nearly the orthogonal matrix next to ``matrix``, by three Newton–Schulz steps."""
    x = matrix.bfloat16() if HALF else matrix
    x = x / (x.norm() + 1e-7)
    tall = len(x) > x.shape[1]
    x = x.T if tall else x
    for _ in range(3):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return (x.T if tall else x).float()
