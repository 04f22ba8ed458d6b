"""What of this machine the process may use: its cores and its memory, also where a container limits them."""

from __future__ import annotations

import os
from pathlib import Path

import psutil


def num_cores() -> int:
    """Whole cores that this process may use, and no fewer than one."""
    return max(1, int(usable_cores()))


def usable_cores() -> float:
    """Cores that this process may use: its affinity, and its share where a container limits it."""
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").partition(" ")
    share = int(quota) / int(period) if quota.isdigit() and period.isdigit() else float("inf")
    return min(len(os.sched_getaffinity(0)), share)


def usable_memory() -> int:
    """Bytes of memory still free to this process, also where a container limits it."""
    available = psutil.virtual_memory().available
    limit, used = _read("/sys/fs/cgroup/memory.max"), _read("/sys/fs/cgroup/memory.current")
    return min(available, int(limit) - int(used)) if limit.isdigit() and used.isdigit() else available


def _read(path: str) -> str:
    """The content of a file of the kernel, empty where there is none."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
