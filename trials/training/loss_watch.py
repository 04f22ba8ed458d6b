"""LossWatch: notices within an epoch that training diverged, without making a GPU wait."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from convscout.search_space.errors import DivergedError

INTERVAL = 16  # steps between two looks


class LossWatch:
    """Looks at every sixteenth loss of an epoch. Once one is not finite, all that follow are not either.

    A loss of a GPU is copied in the background and read one interval later, when it has long arrived.
    """

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._steps = 0
        self._copy: Tensor | None = None
        self._copied: torch.cuda.Event | None = None

    def see(self, loss: Tensor) -> None:
        """Take note of a step's ``loss``, a scalar. Raises ``DivergedError`` when an earlier one was not finite."""
        self._steps += 1
        if self._steps % INTERVAL:
            return
        self._check()
        self._copy = loss.to("cpu", non_blocking=True)  # into pinned memory when it comes from a GPU
        if loss.is_cuda:
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()
        else:
            self._check()

    def _check(self) -> None:
        if self._copied:
            self._copied.synchronize()
        if self._copy is not None:
            check_finite("training", self._copy.item(), self._epoch)


def check_finite(kind: str, loss: float, epoch: int) -> None:
    """Raise ``DivergedError`` when ``loss`` is NaN or infinite."""
    if not math.isfinite(loss):
        raise DivergedError(f"the {kind} loss became {loss} in epoch {epoch}")
