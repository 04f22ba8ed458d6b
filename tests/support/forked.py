"""Programs of ours in processes that begin at once: forked from a server that has all imports done.

A fresh Python needs some ten seconds of a core for them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

PATIENCE_S = 300.0
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.support.preloaded"])
# To start a process polls all of ours, and of two threads that poll a dead one the second finds no exit code left (and
# makes 255 of it).
_polling = threading.Lock()


class Forked:
    """A process that does ``run(*arguments)``, in a session of its own, and says what it says to the end of ``log``.

    ``environment`` is added to that of the server, which has ours of when the first of them began.
    """

    def __init__(
        self,
        run: Callable[..., object],
        *arguments: Any,
        log: Path,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        self._process = CONTEXT.Process(
            target=_begin, args=(run, arguments, log, environment or {}), daemon=True
        )
        with _polling:
            self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit code, in which a signal is negative; None while it lives."""
        with _polling:
            return self._process.exitcode

    def wait(self, timeout_s: float = PATIENCE_S) -> int | None:
        """The same once it has ended, or after so long."""
        wait([self._process.sentinel], timeout_s)
        return self.poll()

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, and wait for its end."""
        self._process.kill()
        self._process.join()

    @property
    def said(self) -> str:
        """The end of what it, and whoever had the same log, said."""
        return self._log.read_text()[-3000:]


def _begin(
    run: Callable[..., object], arguments: tuple[Any, ...], log: Path, environment: dict[str, str]
) -> None:
    os.setsid()
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ.update(environment)
    run(*arguments)
