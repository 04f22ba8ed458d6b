"""The same numbers whenever a trial is repeated on the same machine, on a GPU too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def deterministic_algorithms(wanted: bool) -> Iterator[None]:
    """Within, torch computes the same bits from the same inputs and number of threads, if ``wanted``.

    An operation that cannot raises ``RuntimeError`` and says its name, instead of computing something else.
    """
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
    )
    _set(algorithms=True, cudnn=True, benchmark=False)
    try:
        yield
    finally:
        _set(*before)


def _set(algorithms: bool, cudnn: bool, benchmark: bool) -> None:
    torch.use_deterministic_algorithms(algorithms)
    torch.backends.cudnn.deterministic = cudnn
    torch.backends.cudnn.benchmark = benchmark
