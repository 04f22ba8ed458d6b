"""Durable files: put in place whole, under a temporary name first, and as safe as the caller asks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

from convscout.trials.checkpoints.kill_points import Write, durable


class Durability(IntEnum):
    """What a new file survives. Each level includes those before it."""

    ATOMIC = 1  # the death of a process: readers see the old file or the whole new one
    FLUSHED = 2  # a loss of power, if its name does
    DURABLE = 3  # a loss of power, its name too


@contextmanager
def placing(path: Path, durability: Durability, *, temporary: Path | None = None) -> Iterator[Path]:
    """A name to write a file under that takes the place of ``path`` if the block ends without an error.

    ``temporary`` is that name, one of this process unless given. The directory must exist.
    """
    fresh = temporary or path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield fresh
        if durability >= Durability.FLUSHED:
            flush(fresh)
        with durable(Write.RENAME):
            fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    if durability is Durability.DURABLE:
        flush(path.parent)  # else the rename itself could be lost with the power


def put_file(path: Path, content: bytes | memoryview, durability: Durability = Durability.DURABLE) -> None:
    """Let ``content`` be the file at ``path``."""
    with placing(path, durability) as fresh:
        fresh.write_bytes(content)


def flush(path: Path) -> None:
    """Wait until the file or directory is on disk, whichever process wrote it."""
    if not path.is_dir():
        with path.open("r+b") as file:  # some systems flush by descriptors that may write alone
            os.fsync(file.fileno())
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
