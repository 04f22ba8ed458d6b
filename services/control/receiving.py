"""Receiver: writes what is being sent to the disk, block by block, until it is more than there is room for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import BinaryIO

from services.control.disk_room import writing_to_disk
from services.control.uploads import Incoming
from services.http.problems import Refusal


class Receiver:
    """Takes the bytes of ``incoming``."""

    def __init__(self, incoming: Incoming, file: BinaryIO) -> None:
        self.received = 0
        self._room = incoming.room
        self._file = file

    def refuse_more(self, num_bytes: int) -> None:
        """Raise ``Refusal`` when ``num_bytes`` in all are more than there is room for."""
        if num_bytes > self._room:
            rule = f"must have {self._room / 1e6:.6g} MB at most, which is what there is room for"
            raise Refusal.of(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "file", f"{num_bytes} bytes or more", rule)

    def write(self, block: bytes) -> None:
        """Keep ``block``. Raises ``Refusal`` when there is no room for it, by quota or on the disk."""
        self.received += len(block)
        self.refuse_more(self.received)
        with writing_to_disk():
            self._file.write(block)


@contextmanager
def receiving(incoming: Incoming) -> Iterator[Receiver]:
    """Within, ``incoming.file`` is written."""
    with writing_to_disk():
        file = incoming.file.open("xb")
    with writing_to_disk(), file:  # closing it writes the last of it
        yield Receiver(incoming, file)
