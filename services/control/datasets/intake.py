"""Intake: from the bytes of an upload to a tree that a study can read, or to the reason why there is none.

Bytes are written to the disk block by block, until they are more than there is room for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from zipfile import ZipFile

from convscout.search_space.errors import DataError, DatasetError, UploadTooLargeError
from convscout.services.control.datasets.archive_names import read_names
from convscout.services.control.datasets.archives import (
    DECLARATION,
    ArchiveLimits,
    ArchiveMember,
    UnpackingBudget,
    images,
    members,
    open_archive,
    unpack,
)
from convscout.services.control.datasets.disk_errors import writing_to_disk
from convscout.services.control.datasets.image_folders import examine
from convscout.services.control.datasets.npz_files import check_headers, facts_of, is_npz
from convscout.services.control.datasets.previews import DataLooks
from convscout.services.control.datasets.uploads import NPZ_FILE, Incoming
from convscout.services.schemas.datasets import NUM_SKIPPED_NAMED, DatasetFacts, SkippedFile
from convscout.trials.data.foreign_layouts import describe_names

_PATIENCE_S = 600.0  # until other datasets were read


def accept(incoming: Incoming, looks: DataLooks, cache: Path) -> DatasetFacts:
    """Make ``incoming.tree`` of ``incoming.file``, and say what it holds. Raises ``DatasetError``."""
    limits = ArchiveLimits(total_bytes=incoming.room)
    sent = incoming.file.stat().st_size
    try:
        with writing_to_disk():
            incoming.tree.mkdir()
            with open_archive(incoming.file, limits) as archive:
                found = members(archive, limits)
                if not is_npz(found):
                    return _folders(incoming, archive, found, UnpackingBudget(limits, sent))
                check_headers(archive, found, limits, sent)
            file = incoming.file.rename(incoming.tree / NPZ_FILE)
        with looks.alone(_PATIENCE_S):
            return facts_of(file, cache).model_copy(update={"bytes": sent})
    except DataError as error:
        message = error.message.replace(f"{incoming.tree}/", "")  # where it lies is nobody's business
        raise DatasetError.of("file", f"{sent} bytes", message) from None


def _folders(
    incoming: Incoming, archive: ZipFile, found: Sequence[ArchiveMember], budget: UnpackingBudget
) -> DatasetFacts:
    wanted, skipped = images(archive, found)
    if all(each.parts[-1] == DECLARATION for each in wanted):
        raise DataError("holds no PNG, JPEG, WebP or BMP images; each class needs a folder of its own")
    foreign = unpack(archive, wanted, incoming.tree, budget)
    try:
        facts, removed = examine(incoming.tree)
    except DataError as error:  # of what was left out it knows nothing
        raise DataError(
            "; ".join([error.message, *_hints(error.message, found, [*foreign, *skipped])])
        ) from None
    _, notes = read_names(archive)
    left_out: list[SkippedFile] = [*foreign, *removed, *skipped]
    files = (path for path in incoming.tree.rglob("*") if path.is_file())
    return facts.model_copy(
        update={
            "bytes": sum(path.stat().st_size for path in files),
            "notes": (*notes, *facts.notes),
            "num_skipped": len(left_out),
            "skipped": tuple(left_out[:NUM_SKIPPED_NAMED]),
        }
    )


def _hints(message: str, found: Sequence[ArchiveMember], left_out: Sequence[SkippedFile]) -> Iterator[str]:
    """What else there is to say of an archive that cannot be read, beside the ``message`` that says why."""
    hint = describe_names(each.path for each in found)
    if hint and hint not in message:
        yield hint
    if left_out and not hint:
        first = left_out[0]
        yield f"{len(left_out):,} file(s) were left out, such as {first.path}, which {first.reason}"


class Receiver:
    """Takes the bytes of ``incoming``."""

    def __init__(self, incoming: Incoming, file: BinaryIO) -> None:
        self.received = 0
        self._room = incoming.room
        self._file = file

    def refuse_more(self, num_bytes: int) -> None:
        """Raise ``UploadTooLargeError`` when ``num_bytes`` in all are more than there is room for."""
        if num_bytes > self._room:
            rule = f"must have {self._room / 1e6:.6g} MB at most, which is what there is room for"
            raise UploadTooLargeError.of("file", f"{num_bytes} bytes or more", rule)

    def write(self, block: bytes) -> None:
        """Keep ``block``. Raises ``DatasetError`` when there is no room for it, by quota or on the disk."""
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
