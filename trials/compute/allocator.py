"""The allocator: what a process that computes tells its C library, so that memory stays for the next step.

A training step allocates and frees some hundred megabytes of activations. As glibc is set, most of that is returned to
the kernel at once and handed out anew, zeroed and page by page, which takes as long as a third of the arithmetic. Here
it is told to keep what is freed, and the kernel to hand it out in huge pages, of which one replaces 512 faults. What
was kept is given back when there is nothing to compute, if it is enough to be worth the walk over the heap.

Only glibc's own allocator on Linux is told so; another C library, another allocator that is preloaded, and settings
of glibc's that a person has made in the environment are left as they are.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

# <malloc.h>
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_NEVER = -1  # is the top of the heap returned as it is freed
_TOP_PAD = 2**26  # bytes that the heap grows by at least
HEAP_SHARE = (
    0.25  # of the machine's memory is reserved for huge pages; a page takes none until it is written to
)
WORTH_BYTES = 2**26  # that must be gained by giving back: it takes 10 ms, as much as a small trial
SETTINGS = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")

_lock = threading.Lock()
_computing = 0
_floor_bytes = math.inf  # what this process held at least, since memory was last given back


@contextmanager
def kept_memory() -> Iterator[None]:
    """Within, freed memory is kept for the next allocation; once nobody in this process is within, it is given back."""
    global _computing, _floor_bytes
    with _lock:
        _computing += 1
        if _computing == 1 and (libc := _libc()) is not None:
            _floor_bytes = min(_floor_bytes, _private_bytes())
            _reserve(libc)
    try:
        yield
    finally:
        with _lock:
            _computing -= 1
            libc = None if _computing else _libc()
            if libc is not None and _private_bytes() > _floor_bytes + WORTH_BYTES:
                libc.malloc_trim(0)
                _floor_bytes = _private_bytes()


def describe_allocator() -> str:
    """What becomes of freed memory while this process computes, for a person."""
    if not _is_glibc():
        return "freed memory goes back to the system, as this C library has it"
    if name := _set_by_person():
        return f"freed memory is handled as {name} says"
    return f"freed memory is kept for the next step, huge pages: {_huge_pages()}"


def _huge_pages() -> str:
    """When this kernel hands out huge pages: "always", "on request" or "never"."""
    try:
        said = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    except OSError:
        return "never"
    chosen = said.partition("[")[2].partition("]")[0]
    return {"always": "always", "madvise": "on request"}.get(chosen, "never")


def _is_glibc() -> bool:
    return sys.platform == "linux" and platform.libc_ver()[0] == "glibc"


def _set_by_person() -> str:
    """The environment variable that decides about the allocator, if one does."""
    return next((name for name, value in os.environ.items() if value and name.startswith(SETTINGS)), "")


@cache
def _libc() -> ctypes.CDLL | None:
    """glibc, told to keep what is freed; None where it is not the allocator, or a person has set it."""
    if not _is_glibc() or _set_by_person():
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    libc.malloc.restype = libc.sbrk.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.sbrk.argtypes = [ctypes.c_ssize_t]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    # one heap for all threads, as only that of the program's break grows without end
    for setting, value in (
        (_M_MMAP_MAX, 0),
        (_M_TRIM_THRESHOLD, _NEVER),
        (_M_TOP_PAD, _TOP_PAD),
        (_M_ARENA_MAX, 1),
    ):
        libc.mallopt(setting, value)
    return libc


def _reserve(libc: ctypes.CDLL) -> None:
    """Grow the heap by pages that are not there yet, and ask for them to be huge. What is refused costs only speed."""
    size = int(HEAP_SHARE * os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE)
    reserved = libc.malloc(size)
    if not reserved:
        return
    libc.free(reserved)
    begin, end = _aligned(reserved), libc.sbrk(0) // mmap.PAGESIZE * mmap.PAGESIZE
    if begin < end:
        libc.madvise(begin, end - begin, mmap.MADV_HUGEPAGE)


def _private_bytes() -> int:
    """What this process holds in memory beside files."""
    _, resident, shared, *_ = Path("/proc/self/statm").read_text().split()
    return (int(resident) - int(shared)) * mmap.PAGESIZE


def _aligned(address: int) -> int:
    """The first page that begins at ``address`` or after it."""
    return -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
