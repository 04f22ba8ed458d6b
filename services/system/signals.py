"""Ctrl-C and SIGTERM: the first asks the search to stop, the second ends it at once.

Nothing is lost either way: every finished epoch is on disk before it is reported.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Self


class Interrupts:
    """A context in which ``requested`` tells whether the person asked to stop."""

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[signal.Signals, signal.Handlers | int | None] = {}

    def __enter__(self) -> Self:
        # Python lets only the main thread handle signals; elsewhere (a notebook's worker, say) whoever
        # owns the main thread decides
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)  # type: ignore[assignment]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            os._exit(130)
        self.requested = True
