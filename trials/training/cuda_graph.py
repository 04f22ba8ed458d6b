"""CudaGraph: the ``Graph`` of a GPU."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from convscout.trials.compute.seeding import nobody_seeding
from convscout.trials.training.graphed_step import Graph

_streams = threading.local()


class CudaGraph:
    """One piece of work, recorded on the current GPU after PyTorch's notes on whole-network capture.

    ``pool`` is memory to share with graphs that never run at the same time and whose answers are not
    looked at once another has run; without it a graph takes memory of its own.
    """

    def __init__(self, pool: torch.cuda._POOL_HANDLE | None = None) -> None:
        self._graph = torch.cuda.CUDAGraph()
        self._pool = pool

    def warm_up(self, work: Callable[[], Tensor]) -> Tensor:
        """Do ``work`` on the stream of captures, where libraries keep workspaces of their own."""
        side, current = _side_stream(), torch.cuda.current_stream()
        side.wait_stream(current)
        try:
            with torch.cuda.stream(side):
                return work()
        finally:
            current.wait_stream(side)

    def capture(self, work: Callable[[], Tensor]) -> Tensor:
        """As ``Graph.capture`` says."""
        # "thread_local": other threads, which write checkpoints or fetch images, may go on meanwhile
        recording = torch.cuda.graph(
            self._graph, pool=self._pool, stream=_side_stream(), capture_error_mode="thread_local"
        )
        try:
            with nobody_seeding(), no_host_randomness(), recording:  # one capture at a time, too
                return work()
        except BaseException:
            self._graph.reset()  # frees its memory
            raise

    def replay(self) -> None:
        """As ``Graph.replay`` says; nobody waits for it."""
        self._graph.replay()


def graphs_for(device: torch.device, *, sharing_memory: bool = False) -> Callable[[], Graph] | None:
    """What makes the graphs of ``device``, which must be the current one; None where it has none.

    With ``sharing_memory`` they take one pool together (see ``CudaGraph``).
    """
    if device.type != "cuda":
        return None
    return partial(CudaGraph, torch.cuda.graph_pool_handle() if sharing_memory else None)


@contextmanager
def no_host_randomness() -> Iterator[None]:
    """Raise ``RuntimeError`` if random numbers were drawn on the CPU within: a replay would repeat the same ones.

    It covers the generators of torch and of Python, and leaves both as they were.
    """
    ours, pythons = torch.get_rng_state(), random.getstate()
    try:
        yield
        drawn = not torch.equal(ours, torch.get_rng_state()) or pythons != random.getstate()
    finally:
        torch.set_rng_state(ours)
        random.setstate(pythons)
    if drawn:
        raise RuntimeError("the step draws random numbers on the CPU, which a graph would not draw anew")


def _side_stream() -> torch.cuda.Stream:
    """The one stream of all captures of this thread: every stream that multiplies matrices keeps a workspace.

    Other threads have others, so that what they do is not recorded.
    """
    if not hasattr(_streams, "side") or _streams.side.device.index != torch.cuda.current_device():
        _streams.side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side: torch.cuda.Stream = _streams.side
    return side
