"""How many threads torch computes with, and how to give each of them work of its own."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import TypeVar

import torch

from convscout.trials.compute.read_ahead import read_ahead

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def computing_threads(count: int) -> Iterator[None]:
    """Within, each thread of this process that computes does so with ``count`` of them."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def spread_over_threads(compute: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
    """``compute`` of each of ``items``, in their order: as many at a time as torch has threads, on one thread each.

    Threads that share an operation wait for the slowest of them after each operation. Where another program takes a
    part of one core, that takes several times as long; a thread with work of its own only does less of it.
    """
    count = torch.get_num_threads()
    if count == 1:
        yield from map(compute, items)
        return
    with computing_threads(1), closing(read_ahead(compute, items, ahead=count, threads=count)) as results:
        yield from results
