"""What the two networks without a search share: pixels as tensors, a number format, and how the time goes by."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.league_sides.contestant import Pixels
from convscout.trials.compute.machine import has_native_bfloat16

HALF = has_native_bfloat16()  # emulated, bfloat16 is slower than float32
FORMAT = "bfloat16" if HALF else "float32"
_EVALUATED = 1000  # images at a time


def autocast() -> torch.autocast:
    """bfloat16 where the processor computes it."""
    return torch.autocast("cpu", torch.bfloat16, enabled=HALF)


class Normalized(nn.Module):
    """Makes pixels (N, C, H, W) into floats of mean 0 and variance 1, channel by channel over the training images."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, pixels: Pixels) -> None:
        super().__init__()
        count = pixels[..., 0].size
        mean = pixels.sum(axis=(0, 1, 2), dtype=np.float64) / count
        square = np.stack([np.square(channel, dtype=np.uint32).sum(dtype=np.float64)
                           for channel in np.moveaxis(pixels, -1, 0)]) / count  # fmt: skip
        deviation = np.sqrt(np.maximum(square - mean**2, 1.0))
        for name, values in (("mean", mean), ("deviation", deviation)):
            self.register_buffer(name, torch.from_numpy(values).float().view(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels.float() - self.mean) / self.deviation


def channels_first(pixels: Pixels) -> Tensor:
    """A view (N, C, H, W) whose memory stays as it is: channels last."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def seconds(work: Callable[[], object], *, warm_up: int = 2, repeats: int = 3) -> float:
    """What ``work`` takes."""
    for _ in range(warm_up):
        work()
    began = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - began) / repeats


def progress(train_s: float, most_steps: int) -> Callable[[int], float]:
    """How far training is after so many steps, from 0 to 1: by the clock, from now on, or by its last step.

    It has a second at least, where everything before it took too long.
    """
    began, train_s = time.perf_counter(), max(1.0, train_s)
    return lambda step: min(1.0, max((time.perf_counter() - began) / train_s, step / most_steps))


@torch.no_grad()
def accuracy(answer: Callable[[Tensor], Tensor], pixels: Pixels, labels: np.ndarray) -> float:
    """The share of ``pixels`` that ``answer`` puts into the right class."""
    parts = torch.split(channels_first(pixels), _EVALUATED)
    answers = torch.cat([answer(part).argmax(1) for part in parts])
    return (answers == torch.from_numpy(labels)).double().mean().item()
