"""Pausing the garbage collector, which is one for all threads."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Pause:
    """Begins with the first who enters, whichever its thread, and ends with the last who leaves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._within = 0
        self._collecting = False

    def enter(self) -> None:
        with self._lock:
            if not self._within:
                self._collecting = gc.isenabled()
                gc.disable()
            self._within += 1

    def leave(self) -> None:
        with self._lock:
            self._within -= 1
            if self._collecting and not self._within:
                gc.enable()


_pause = _Pause()


@contextmanager
def pause_gc() -> Iterator[None]:
    """Within, no thread collects anything.

    Loading a large study takes half the time so, as its thousands of fresh objects, which all stay, are not walked
    again and again.
    """
    _pause.enter()
    try:
        yield
    finally:
        _pause.leave()
