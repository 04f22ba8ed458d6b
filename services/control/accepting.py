"""Accepting: from the bytes of an upload to a tree that a study can read, or to the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from zipfile import ZipFile

from search_space.errors import DataError
from services.control.archives import ArchiveLimits, Budget, Member, images, members, opened, unpack
from services.control.data_looks import DataLooks
from services.control.dataset_views import NUM_SKIPPED_NAMED, DatasetFacts, SkippedFile
from services.control.disk_room import writing_to_disk
from services.control.image_folders import examine
from services.control.npz_files import check_headers, facts_of, is_npz
from services.control.uploads import NPZ_FILE, Incoming
from services.http.problems import Refusal

_PATIENCE_S = 600.0  # until other datasets were read


def accept(incoming: Incoming, looks: DataLooks, cache: Path) -> DatasetFacts:
    """Make ``incoming.tree`` of ``incoming.file``, and say what it holds. Raises ``Refusal``."""
    limits = ArchiveLimits(total_bytes=incoming.room)
    sent = incoming.file.stat().st_size
    try:
        with writing_to_disk():
            incoming.tree.mkdir()
            with opened(incoming.file, limits) as archive:
                found = members(archive, limits)
                if not is_npz(found):
                    return _folders(incoming, archive, found, Budget(limits, sent))
                check_headers(archive, found, limits, sent)
            file = incoming.file.rename(incoming.tree / NPZ_FILE)
        with looks.alone(_PATIENCE_S):
            return facts_of(file, cache).model_copy(update={"bytes": sent})
    except DataError as error:
        message = error.message.replace(f"{incoming.tree}/", "")  # where it lies is nobody's business
        raise Refusal.of(HTTPStatus.UNPROCESSABLE_ENTITY, "file", f"{sent} bytes", message) from None


def _folders(incoming: Incoming, archive: ZipFile, found: Sequence[Member], budget: Budget) -> DatasetFacts:
    wanted, skipped = images(found)
    if not wanted:
        raise DataError("holds no PNG, JPEG, WebP or BMP images; each class needs a folder of its own")
    unpack(archive, wanted, incoming.tree, budget)
    facts, removed = examine(incoming.tree)
    left_out: list[SkippedFile] = [*removed, *skipped]
    files = (path for path in incoming.tree.rglob("*") if path.is_file())
    return facts.model_copy(
        update={
            "bytes": sum(path.stat().st_size for path in files),
            "num_skipped": len(left_out),
            "skipped": tuple(left_out[:NUM_SKIPPED_NAMED]),
        }
    )
