"""Rerun: the ``Graph`` of a CPU, for tests of what is done with graphs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Rerun:
    """Does what it recorded again on the same tensors, as a GPU's graph does; counts over all instances."""

    captures = replays = 0

    def warm_up(self, work: Callable[[], Tensor]) -> Tensor:
        return work()

    def capture(self, work: Callable[[], Tensor]) -> Tensor:
        type(self).captures += 1
        self.work, self.answer = work, torch.full((), torch.nan)
        return self.answer

    def replay(self) -> None:
        type(self).replays += 1
        self.answer.copy_(self.work())
