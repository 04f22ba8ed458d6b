"""Averaging: the average of a network's states over the steps of its training."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Averaging:
    """Moves ``average`` towards ``model``: weights and batch statistics alike, counters as they are.

    Both must keep their tensors for as long as it is used.
    """

    def __init__(self, average: nn.Module, model: nn.Module) -> None:
        self._moved: tuple[list[Tensor], list[Tensor]] = ([], [])  # of the average, of the model
        self._copied: tuple[list[Tensor], list[Tensor]] = ([], [])
        for ours, theirs in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
            columns = self._moved if ours.is_floating_point() else self._copied
            columns[0].append(ours)
            columns[1].append(theirs)

    @torch.no_grad()
    def follow(self, rate: float) -> None:
        """Go ``rate``, in (0, 1], of the way."""
        torch._foreach_lerp_(*self._moved, rate)
        if self._copied[0]:
            torch._foreach_copy_(*self._copied)
