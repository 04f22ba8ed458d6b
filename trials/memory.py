"""Memory: refuse data that will not fit before the machine starts to swap or kills the process."""

from __future__ import annotations

import psutil

from search_space.errors import DataError


def require_memory(num_bytes: int, *, what: str, remedy: str) -> None:
    """Raise ``DataError`` when ``num_bytes`` are more than the machine can give now.

    ``what`` needs them, and ``remedy`` is what the person can do instead.
    """
    available = psutil.virtual_memory().available
    if num_bytes > available:
        raise DataError(
            f"{what} need {num_bytes / 1e9:.1f} GB of memory, but {available / 1e9:.1f} GB is free; {remedy}"
        )
