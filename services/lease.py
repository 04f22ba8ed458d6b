"""The lease: at most one controller runs a study at a time.

An operating-system lock on a file in the study's directory. The system frees it when its holder dies,
however it dies, so a lease never has to expire and never needs a clock.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from search_space.errors import StudyLockedError

_FILE = "controller.lock"
_TRIES = 10


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The process that runs a study. ``since`` is in seconds since 1970."""

    pid: int
    since: float


@contextmanager
def lease(directory: Path) -> Iterator[None]:
    """Hold the study in ``directory``; raises ``StudyLockedError`` naming the process that holds it already."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / _FILE).open("a+") as file:
        if not _acquired(file):
            found = holder(directory)
            who = f"process {found.pid}" if found else "another process"
            raise StudyLockedError(
                f"study {directory.name!r} is being run by {who} already",
                next_command=f"convscout stop {directory.name}",
            )
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "since": time.time()}))
        file.flush()
        yield


def holder(directory: Path) -> Holder | None:
    """Who runs the study in ``directory`` now, or None."""
    path = directory / _FILE
    if not path.exists():
        return None
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            content = file.read()
            return Holder(**json.loads(content)) if content else None
    return None


def _acquired(file: IO[str]) -> bool:
    """Whether the lock could be had. ``holder`` holds it for a moment when it looks, so one refusal is no answer."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.05)
    return False
