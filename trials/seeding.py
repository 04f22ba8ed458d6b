"""Seeding torch's global generators, which are one for all threads of a process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_LOCK = threading.Lock()


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
