"""Files that a process holds locked for as long as it lives: the system frees them however it dies."""

from __future__ import annotations

import errno
import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from convscout.search_space.errors import ConvscoutError

_TRIES = 10


@contextmanager
def lock_file(*paths: Path) -> Iterator[tuple[Path, IO[str]] | None]:
    """The first of ``paths`` that no process holds, open for appending and locked for the time of the block.

    None when all are held. Raises ``ConvscoutError`` for one that this user may not write.
    """
    for path in paths:
        with _open(path) as file:
            if _acquired(file):
                yield path, file
                return
    yield None


def _open(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a")
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise ConvscoutError(
            f"{path} cannot be written ({error.strerror}), as whoever works there must; work under another --home, "
            "copy this one, or have its owner let you write to it",
            next_command="convscout doctor",
        ) from error


def is_free(path: Path) -> bool:
    """Whether no process holds ``path`` locked, which must exist."""
    with path.open() as file:
        return _locked(file, fcntl.LOCK_SH)  # who looks shares it with whoever else does


def _acquired(file: IO[str]) -> bool:
    """Whether the lock could be had. Others share it for a moment when they look, so one refusal is no answer."""
    for _ in range(_TRIES):
        if _locked(file, fcntl.LOCK_EX):
            return True
        time.sleep(0.05)
    return False


def _locked(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
