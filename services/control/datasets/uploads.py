"""Uploads: the directory of uploaded datasets. A dataset appears in it whole, in one step, and disappears so.

``NAME/`` is an uploaded dataset, ``NAME/.convscout/dataset.json`` what was found out about it. What is being received
or removed lies in ``.incoming/``, in a directory whose lock its process holds; what a killed one left is swept up.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from convscout.search_space.errors import BusyError, DatasetConflictError, DatasetError, NoRoomError
from convscout.services.config.names import find_name_problem
from convscout.services.control.datasets.disk_errors import writing_to_disk
from convscout.services.schemas.datasets import DatasetFacts
from convscout.services.system.locks import is_free, lock_file
from convscout.trials.checkpoints.kill_points import Write, durable

NPZ_FILE = "data.npz"
AT_A_TIME = 2
_KNOWN_NAME = "[A-Za-z0-9_][A-Za-z0-9._-]{0,63}"  # what earlier versions allowed, and what there may be
_RECORD = Path(".convscout") / "dataset.json"
_INCOMING, _LOCK = ".incoming", "lock"


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """An upload on its way. ``file`` is what was sent, of ``room`` bytes at most; ``tree`` is what it shall become."""

    directory: Path
    room: int

    @property
    def file(self) -> Path:
        return self.directory / "sent"

    @property
    def tree(self) -> Path:
        return self.directory / "tree"


class Uploads:
    """The datasets in ``directory``, which take ``total_bytes`` at most, each ``upload_bytes``."""

    def __init__(self, directory: Path, *, upload_bytes: int, total_bytes: int) -> None:
        self.directory = directory
        self._upload_bytes, self._total_bytes = upload_bytes, total_bytes
        self._slots = threading.BoundedSemaphore(AT_A_TIME)
        self._one_at_a_time = threading.Lock()

    def names(self) -> list[str]:
        """Of all that is there, sorted."""
        if not self.directory.is_dir():
            return []
        return sorted(path.name for path in self.directory.iterdir() if is_name(path.name) and path.is_dir())

    def path(self, name: str) -> Path | None:
        """Where the dataset called ``name`` lies, or None where there is none."""
        path = self.directory / name
        return path if is_name(name) and path.is_dir() else None

    def facts(self, name: str) -> DatasetFacts:
        """What was found out about a dataset; nothing, where it was put there by hand."""
        try:
            return DatasetFacts.model_validate_json((self.directory / name / _RECORD).read_bytes())
        except (OSError, ValidationError):
            return DatasetFacts()

    @property
    def room(self) -> int:
        """Bytes that a new dataset may take. Raises ``NoRoomError`` where there are none."""
        free = self._total_bytes - sum(self.facts(name).bytes or 0 for name in self.names())
        if free <= 0:
            raise self._full()
        return min(free, self._upload_bytes)

    def refuse_name(self, name: str) -> None:
        """Raise ``DatasetError`` for a name that cannot be one, or is taken, if only in other case."""
        if rule := find_name_problem(name):
            raise DatasetError.of("name", name[:200], rule)
        if name.casefold() in map(str.casefold, self.names()):
            rule = "is taken by an uploaded dataset; choose another, or delete that one"
            raise DatasetConflictError.of("name", name, rule)

    @contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """An upload; whatever of it was not kept is gone after the block.

        Raises ``BusyError`` when others are enough.
        """
        if not self._slots.acquire(blocking=False):
            rule = f"are {AT_A_TIME} at a time; try again in a moment"
            raise BusyError.of("uploads", AT_A_TIME + 1, rule)
        try:
            with self._workplace() as directory:
                yield Incoming(directory=directory, room=self.room)
        finally:
            self._slots.release()

    def keep(self, incoming: Incoming, name: str, facts: DatasetFacts) -> None:
        """Let the tree of ``incoming`` be the dataset called ``name``, once it is on the disk.

        Raises ``DatasetError``.
        """
        with writing_to_disk():
            record = incoming.tree / _RECORD
            record.parent.mkdir()
            record.write_text(facts.model_dump_json(), encoding="utf-8")
            _sync_all(incoming.tree)
        with self._one_at_a_time:
            self.refuse_name(name)
            if (facts.bytes or 0) > self.room:  # another upload may have taken some since
                raise self._full()
            with writing_to_disk(), durable(Write.RENAME):
                incoming.tree.rename(self.directory / name)
                _sync(self.directory)

    def remove(self, name: str) -> None:
        """Remove the dataset called ``name``, which must exist: now from sight, and in a while from the disk.

        A disk may take minutes for the files of a large one, for which nobody waits.
        """
        directory = self.directory / _INCOMING / uuid.uuid4().hex
        with writing_to_disk():
            directory.mkdir(parents=True, mode=0o700)
            (self.directory / name).rename(directory / "removed")
            _sync(self.directory)
        threading.Thread(target=shutil.rmtree, args=(directory, True), daemon=True).start()

    def sweep(self) -> None:
        """Remove what processes that are gone were receiving or removing."""
        for directory in (self.directory / _INCOMING).glob("*"):
            lock = directory / _LOCK
            if not lock.exists() or is_free(lock):
                shutil.rmtree(directory, ignore_errors=True)

    @contextmanager
    def _workplace(self) -> Iterator[Path]:
        directory = self.directory / _INCOMING / uuid.uuid4().hex
        with writing_to_disk():
            directory.mkdir(parents=True, mode=0o700)
        try:
            with lock_file(directory / _LOCK) as locked:
                assert locked  # no other process knows the name
                yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _full(self) -> NoRoomError:
        rule = f"are {self._total_bytes / 1e9:.3g} GB at most together; delete a dataset that is not needed"
        return NoRoomError.of("uploads", "no room for it", rule)


def is_name(name: str) -> bool:
    """Whether a dataset that exists may be called ``name``: safe as a directory, in an address and in a table."""
    return re.fullmatch(_KNOWN_NAME, name) is not None


def _sync_all(directory: Path) -> None:
    """Bring all that was written to the file system of ``directory`` to the disk: faster than file by file."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "syncfs"):
            os.sync()
        elif libc.syncfs(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(descriptor)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
