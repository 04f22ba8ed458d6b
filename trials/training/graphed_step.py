"""GraphedStep: a training step that is recorded once and then replayed, so that its many kernels start as one.

It knows no GPU: ``Graph`` is what it asks of one (``trials/training/cuda_graph.py``), and tests give it another.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

Step = Callable[
    [Tensor, Tensor, int], Tensor
]  # of images (N, C, H, W), targets (N, K) and parts; the loss ()

WARM_UP = 3  # eager steps before one is recorded: libraries choose kernels, optimizers make their state


class Graph(Protocol):
    """Work on a device that is recorded once and replayed on the same tensors."""

    def warm_up(self, work: Callable[[], Tensor]) -> Tensor:
        """Do ``work`` as a capture would see it, and return its answer."""

    def capture(self, work: Callable[[], Tensor]) -> Tensor:
        """Record ``work`` without doing it; returns the tensor that each replay writes the answer to.

        Raises an exception where it cannot be recorded; nothing has been done then.
        """

    def replay(self) -> None:
        """Do what was recorded, on what its tensors hold now."""


class GraphedStep:
    """Takes steps as ``step`` does, those of the first batch's shape by replaying one that was recorded.

    Every step is a real one of its own batch, also those before the capture. Batches of another shape, the
    last ones of epochs, are eager steps. Without ``new_graph`` all are. ``why_eager`` says why a capture
    was given up, if it was.
    """

    def __init__(self, step: Step, new_graph: Callable[[], Graph] | None) -> None:
        self.why_eager = ""
        self._step = step
        self._new_graph = new_graph
        self._shape: torch.Size | None = None
        self._parts = 1
        self._forget()

    def _forget(self) -> None:
        """Let go of the graph and its memory."""
        self._graph: Graph | None = None
        self._warmed_up = 0
        self._inputs: tuple[Tensor, Tensor] | None = None  # what the graph reads
        self._answer: Tensor | None = None  # what it writes

    def __call__(self, images: Tensor, targets: Tensor, parts: int) -> Tensor:
        """The loss of the step, a scalar that is good until the next step."""
        if parts != self._parts:
            self._forget()
            self._parts = parts
        self._shape = self._shape or images.shape
        if self._new_graph is None or images.shape != self._shape:
            return self._eagerly(images, targets)
        self._graph = self._graph or self._new_graph()
        if self._warmed_up < WARM_UP:
            self._warmed_up += 1
            return self._graph.warm_up(partial(self._step, images, targets, parts))
        if self._answer is None and not self._captured(images, targets):
            return self._eagerly(images, targets)
        assert self._inputs is not None and self._answer is not None
        for recorded, given in zip(self._inputs, (images, targets), strict=True):
            recorded.copy_(given)
        self._graph.replay()
        return self._answer

    def _captured(self, images: Tensor, targets: Tensor) -> bool:
        """Record a step for batches like this one; False, and ``why_eager``, where that cannot be done."""
        assert self._graph is not None
        self._inputs = torch.empty_like(images), torch.empty_like(targets)
        try:
            self._answer = self._graph.capture(partial(self._step, *self._inputs, self._parts))
        except Exception as error:  # an eager step shows whether it is one of the network
            reason = _first(error)
        else:
            return True
        self._give_up(reason)
        return False

    def _eagerly(self, images: Tensor, targets: Tensor) -> Tensor:
        try:
            return self._step(images, targets, self._parts)
        except torch.OutOfMemoryError:
            if self._answer is None:
                raise
        # only here, where the error no longer holds on to what the step had made
        self._give_up("a batch of another size does not fit into memory beside the graph")
        return self._step(images, targets, self._parts)

    def _give_up(self, reason: str) -> None:
        self.why_eager = reason
        self._new_graph = None
        self._forget()


def _first(error: BaseException) -> str:
    """A line about what went wrong first: ending a capture fails as well, and says less."""
    while error.__context__ is not None:
        error = error.__context__
    line = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {line[:200]}"
