"""Seeds: of whatever has a number within something that has a seed, and of torch's global generators.

Those are one for all threads of a process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_LOCK = threading.Lock()
STRIDE = 1_000_003
"""Between the seeds of two studies whose own seeds are neighbours: a prime, more than either has trials."""


def nth_seed(seed: int, number: int) -> int:
    """The seed of the one of ``number`` within what has this ``seed``."""
    return seed * STRIDE + number


def seed_generators(seed: int) -> None:
    """Let torch's global generators begin at ``seed``, once no other thread is ``drawing_from`` them."""
    with _LOCK:
        _seed(seed)


@contextmanager
def nobody_seeding() -> Iterator[None]:
    """Within, no other thread seeds torch's global generators or is ``drawing_from`` them."""
    with _LOCK:
        yield


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Within, what is drawn from torch's global generators is determined by ``seed``.

    No other thread seeds them meanwhile; one that draws from them, as dropout does on a CPU, is not held up.
    """
    with _LOCK:
        _seed(seed)
        yield


def _seed(seed: int) -> None:
    """As ``torch.manual_seed``, which keeps a stack trace of every call until CUDA is first used."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
