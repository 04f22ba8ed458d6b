"""DataLooks: what a person should know of a dataset before a search, kept, because to find it out takes a while."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, TypeAdapter, ValidationError

from convscout.search_space.errors import BusyError, DataError, DatasetError
from convscout.services.control.datasets.disk_errors import writing_to_disk
from convscout.services.schemas.datasets import DatasetView
from convscout.trials.checkpoints.durable_files import put_file
from convscout.trials.data.contact_sheet import contact_sheet
from convscout.trials.data.data_check import DataReport, check
from convscout.trials.data.image_decoding import Decoding, plan
from convscout.trials.data.image_files import DECODER_VERSION
from convscout.trials.data.image_tree import scan
from convscout.trials.data.sources import DataRequest, load

LARGEST_SIDE = 64  # pixels; larger images are looked at in this size
_SAMPLES = 10  # of a class, on the contact sheet
_PATIENCE_S = 20.0


class _Kept(BaseModel):
    """A report, and of what."""

    stamp: str
    report: DataReport


class Look(NamedTuple):
    """What was found in a dataset, and where the contact sheet lies."""

    report: DataReport
    sheet: Path


class DataLooks:
    """Looks at datasets one at a time, since each may fill memory; what is found is kept in ``cache``."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._looking = threading.Lock()

    def look(self, dataset: DatasetView) -> Look:
        """The report on ``dataset`` and its contact sheet. Raises ``DatasetError`` where it cannot be read as it is."""
        try:
            stamp = _stamp(dataset)
            if found := self._load_kept(dataset, stamp):
                return found
            with self.alone():
                return self._load_kept(dataset, stamp) or self._look(dataset, stamp)
        except DataError as error:
            raise DatasetError.of("data", dataset.data, error.message) from None

    def forget(self, dataset: DatasetView) -> None:
        """Remove what is kept of ``dataset``."""
        for path in self._paths(dataset):
            path.unlink(missing_ok=True)

    @contextmanager
    def alone(self, patience_s: float = _PATIENCE_S) -> Iterator[None]:
        """Within, no other dataset is loaded by this service. Raises ``BusyError`` when that would take long."""
        if not self._looking.acquire(timeout=patience_s):
            rule = "are read one at a time, and another is being read; try again in a moment"
            raise BusyError.of("datasets", 2, rule)
        try:
            yield
        finally:
            self._looking.release()

    def _look(self, dataset: DatasetView, stamp: str) -> Look:
        splits = load(DataRequest(data=dataset.data, image_size=_side(dataset), seed=0, cache=self._cache))
        report = check(splits)
        kept, sheet = self._paths(dataset)
        with writing_to_disk():
            contact_sheet(splits, sheet, per_class=_SAMPLES)
            put_file(kept, _Kept(stamp=stamp, report=report).model_dump_json().encode())
        return Look(report, sheet)

    def _load_kept(self, dataset: DatasetView, stamp: str) -> Look | None:
        kept, sheet = self._paths(dataset)
        try:
            found = _KEPT.validate_json(kept.read_bytes())
        except (OSError, ValidationError):
            return None
        return Look(found.report, sheet) if found.stamp == stamp and sheet.exists() else None

    def _paths(self, dataset: DatasetView) -> tuple[Path, Path]:
        name = hashlib.sha256(os.fsencode(dataset.data)).hexdigest()[:16]
        folder = self._cache / "datasets"
        return folder / f"{name}.json", folder / f"{name}.png"


_KEPT = TypeAdapter(_Kept)


def _side(dataset: DatasetView) -> int | None:
    """The side in pixels to look at images in; None is their own."""
    source, _, location = dataset.data.partition(":")
    if not location:
        return None
    side = dataset.image_size
    if side is None and source == "folder":
        side = plan(scan(Path(location)), Decoding(image_size=None, max_bad=1, progress=_silent)).common_side
    return None if side is not None and side <= LARGEST_SIDE else LARGEST_SIDE


def _silent(description: str, done: int, total: int) -> None:
    pass


def _stamp(dataset: DatasetView) -> str:
    """Differs whenever files were added, removed or written anew since the last look."""
    digest = hashlib.sha256(f"{DECODER_VERSION} {dataset.image_size}\n".encode())
    source, _, location = dataset.data.partition(":")
    if source == "folder":
        for file in scan(Path(location)).files:
            digest.update(os.fsencode(file.path) + f"\0{file.size} {file.mtime_ns}\n".encode())
    elif (path := Path(location)).is_file():
        status = path.stat()
        digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()
