"""Memory: how much is free, so that data is held there or not before the machine swaps or kills the process."""

from __future__ import annotations

from pathlib import Path

import psutil

from convscout.search_space.errors import DataError

_CONTAINER = Path("/sys/fs/cgroup")  # where Linux tells a container its limits (cgroup v2)


def available_memory() -> int:
    """Bytes of memory that this process could still take, also where a container limits it."""
    available: int = psutil.virtual_memory().available
    limit, used = _read("memory.max"), _read("memory.current")
    if not (limit.isdigit() and used.isdigit()):
        return available
    counted = dict(line.split() for line in _read("memory.stat").splitlines())
    cached = int(counted.get("active_file", 0)) + int(
        counted.get("inactive_file", 0)
    )  # gives way when needed
    return min(available, max(0, int(limit) - int(used) + cached))


def require_memory(num_bytes: int, *, what: str, remedy: str) -> None:
    """Raise ``DataError`` when ``num_bytes`` are more than the machine can give now.

    ``what`` needs them, and ``remedy`` is what the person can do instead.
    """
    available = available_memory()
    if num_bytes > available:
        raise DataError(
            f"{what} need {num_bytes / 1e9:.1f} GB of memory, but {available / 1e9:.1f} GB is free; {remedy}"
        )


def _read(name: str) -> str:
    try:
        return (_CONTAINER / name).read_text().strip()
    except OSError:
        return ""
