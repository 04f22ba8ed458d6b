"""A file that a person named, written piece by piece and put in place whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from convscout.search_space.errors import ConvscoutError
from convscout.trials.checkpoints.durable_files import Durability, placing


@contextmanager
def writing(path: Path) -> Iterator[TextIO]:
    """A file to write UTF-8 text to, which takes the place of ``path`` if the block ends without an error.

    Line ends are written as they are given. Raises ``ConvscoutError`` when the disk is full or may not be written to.
    """
    with _placing(path) as fresh, fresh.open("w", encoding="utf-8", newline="") as file:
        yield file


@contextmanager
def writing_bytes(path: Path) -> Iterator[BinaryIO]:
    """As ``writing``, for bytes."""
    with _placing(path) as fresh, fresh.open("wb") as file:
        yield file


@contextmanager
def _placing(path: Path) -> Iterator[Path]:
    """As ``placing``, for a file that a person named."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with placing(path, Durability.FLUSHED) as fresh:
            yield fresh
    except OSError as error:
        raise ConvscoutError(f"cannot write {path}: {error.strerror or error}") from error
