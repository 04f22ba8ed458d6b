"""Leash: a command that ends, with all its children, when whoever started it does, however that dies.

Between both is a small process that leads their group. It reads a pipe which the operating system closes with its
owner, adopts what the command leaves behind, and ends the group once the owner or the command is gone. If it is
killed itself, the command is told to end by the operating system (where that is Linux), and the rest by the owner.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_GRACE_S = 5.0  # from being asked to end to being killed
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


class Leashed:
    """``command``, running from now on; what it and its children say goes to ``log``, from its beginning.

    ``directory``, where they keep what nobody else needs, is removed with them even when their owner is killed.
    """

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], log: Path, directory: Path | None = None
    ) -> None:
        with log.open("wb") as said:
            self._holder = subprocess.Popen(
                # -I: the standard library alone, whatever lies about
                [sys.executable, "-I", __file__, str(directory or ""), *command],
                env=env,
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C and what kills the owner's group pass it by
            )

    @property
    def alive(self) -> bool:
        """Whether the command runs."""
        return self._holder.poll() is None

    def wait(self) -> None:
        """Until the command has ended by itself."""
        self._holder.wait()

    def end(self) -> None:
        """End the command and all its children, by force if they take more than a few seconds."""
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._holder.wait(2 * _GRACE_S)
        with suppress(ProcessLookupError):  # nobody is left of the group
            os.killpg(self._holder.pid, signal.SIGKILL)
        self._holder.wait()


def _hold(directory: str, command: Sequence[str]) -> None:
    """The process between: run ``command`` until it ends or standard input does, then end the group."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # not SIG_IGN, which the command would inherit
    _control(_PR_SET_CHILD_SUBREAPER, 1)
    # once a thread runs, nothing may be called between fork and exec
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: _control(_PR_SET_PDEATHSIG, signal.SIGTERM),
    )
    threading.Thread(target=_watch_owner, args=(directory,), daemon=True).start()
    child.wait()
    _end_group(directory)


def _watch_owner(directory: str) -> None:
    while os.read(0, 1):
        pass
    _end_group(directory)


def _end_group(directory: str) -> None:
    """End everything in this process's group, and this process last."""
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_S
    with suppress(ChildProcessError):  # nobody is left
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.02)
    if directory:
        shutil.rmtree(directory, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def _control(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)


if __name__ == "__main__":
    _hold(sys.argv[1], sys.argv[2:])
