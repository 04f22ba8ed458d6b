"""Read ahead: have values made by background threads before they are asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")


def read_ahead(
    make: Callable[[A], R], arguments: Iterable[A], *, ahead: int = 2, threads: int = 1
) -> Generator[R]:
    """``make`` of each of ``arguments``, in order, by ``threads`` threads, at most ``ahead`` before their turn.

    An error of ``make`` is raised in the place of its value. Once the generator has ended, failed or been
    closed, none of its threads is left.
    """
    pending: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="read-ahead")
    try:
        for argument in arguments:
            pending.append(pool.submit(make, argument))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
