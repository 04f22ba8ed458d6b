"""Replace a whole directory in one step, so that a kill at any moment leaves the old or the new one."""

from __future__ import annotations

import ctypes
import glob
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from convscout.search_space.errors import ConvscoutError, UserError
from convscout.trials.checkpoints.kill_points import Write, durable

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux's renameat2(2)


def refuse_foreign(directory: Path, ours: Collection[str], what: str) -> None:
    """Raise ``UserError`` unless ``directory`` is none yet, or holds nothing but ``ours``, the files of ``what``."""
    if not directory.exists():
        return
    if not directory.is_dir():
        raise UserError(f"{directory} is a file; choose a directory")
    foreign = sorted(path.name for path in directory.iterdir() if path.name not in ours)
    if foreign:
        raise UserError(
            f"{directory} holds {foreign[0]!r}, which is not part of {what}; choose another directory"
        )


@contextmanager
def replacing(directory: Path) -> Iterator[Path]:
    """An empty directory to fill, which takes the place of ``directory`` if the block ends without an error.

    It lies beside ``directory``; what a killed run left there is swept up. Raises ``ConvscoutError``
    when the disk is full or may not be written to.
    """
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}.tmp")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        recover(directory)
        temporary.mkdir()
        yield temporary
        _sync(temporary)
        with durable(Write.EXPORT):
            _put(temporary, directory)
    except OSError as error:
        raise ConvscoutError(f"cannot write {directory}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sync(directory: Path) -> None:
    """Bring the files in and below ``directory`` and their names to the disk."""
    for path in [*directory.rglob("*"), directory]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _put(new: Path, directory: Path) -> None:
    """Let ``new`` take the place of ``directory``, which is removed."""
    if not directory.exists():
        new.rename(directory)
    elif not _exchange(new, directory):
        # killed between these two lines, the old directory lies aside, whole, until recover
        directory.rename(aside(directory))
        new.rename(directory)
    parent = os.open(directory.parent, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
    shutil.rmtree(aside(directory), ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two directories in one atomic step; False where the system cannot."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    paths = os.fsencode(first), os.fsencode(second)
    return bool(renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0)


def recover(directory: Path) -> None:
    """Undo what a run that was killed while it replaced ``directory`` left behind."""
    if not directory.exists() and aside(directory).exists():
        aside(directory).rename(directory)
    shutil.rmtree(aside(directory), ignore_errors=True)
    for leftover in directory.parent.glob(f".{glob.escape(directory.name)}.*.tmp"):
        shutil.rmtree(leftover)


def aside(directory: Path) -> Path:
    """Where the old one lies while ``directory`` is replaced on a system that cannot swap two in one step."""
    return directory.with_name(f".{directory.name}.previous")
