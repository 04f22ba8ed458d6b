"""MemoryGuard: a step that runs out of memory is taken again in parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from convscout.trials.compute.seeding import nobody_seeding

MOST_PARTS = 4  # so that a step is tried three times

T = TypeVar("T")


class MemoryGuard:
    """Knows in how many parts the batches of a trial fit into memory; the gradients of the parts add up.

    So the recipe stays what it was, but for the statistics of BatchNorm, which are those of a part.
    """

    def __init__(self) -> None:
        self.parts = 1

    def run(self, step: Callable[[int], T]) -> T:
        """``step(parts)``, with twice the parts each time it runs out of memory.

        Raises ``torch.OutOfMemoryError`` when ``MOST_PARTS`` are not enough.
        """
        while True:
            try:
                return step(self.parts)
            except torch.OutOfMemoryError:
                if self.parts == MOST_PARTS:
                    raise
            # only here, where the error no longer holds on to what the step had made
            self.parts *= 2
            if torch.cuda.is_available():
                with nobody_seeding():  # nor recording a graph, which this would break
                    torch.cuda.empty_cache()
