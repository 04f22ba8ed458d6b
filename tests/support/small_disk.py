"""A small file system of its own, to be filled or made read-only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PAGE = 4096


class SmallDisk:
    """A file system in memory, mounted at ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._filler = root / "filler"

    def fill(self) -> None:
        """Take all the room there is."""
        with self._filler.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(_PAGE))
            except OSError:
                return

    def free(self) -> None:
        """Give the room back."""
        self._filler.unlink()

    def allow(self, mode: str) -> None:
        """Let what is on it be only read (``ro``) or also written (``rw``)."""
        subprocess.run(["mount", "-o", f"remount,{mode}", self.root], check=True)


@contextmanager
def small_disk(root: Path, megabytes: int) -> Iterator[SmallDisk]:
    """One of ``megabytes`` at ``root``, for the time of the block; the test is skipped where none may be mounted."""
    root.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", root]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let root mount a file system")
    try:
        yield SmallDisk(root)
    finally:
        subprocess.run(["umount", "--lazy", root], check=True)
