"""A file that is written piece by piece and put in place whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from search_space.errors import ConvscoutError


@contextmanager
def writing(path: Path) -> Iterator[TextIO]:
    """A file to write UTF-8 text to, which takes the place of ``path`` if the block ends without an error.

    Line ends are written as they are given. Raises ``ConvscoutError`` when the disk is full or may not be written to.
    """
    with _placing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def writing_bytes(path: Path) -> Iterator[BinaryIO]:
    """As ``writing``, for bytes."""
    with _placing(path) as temporary, temporary.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _placing(path: Path) -> Iterator[Path]:
    """A name for a file that takes the place of ``path`` if the block ends without an error."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise ConvscoutError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
