"""An MLflow database without runs, of which every home gets a copy: its migration takes a second."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from unittest.mock import patch

from mlflow.utils.file_utils import ExclusiveFileLock

from convscout.services.tracking.store import _make

VARIABLE = "CONVSCOUT_TESTS_MLFLOW"
"""Names the database to copy, for the processes that tests start."""


@contextmanager
def mlflow_migrated_once() -> Iterator[None]:
    """Within, a new home gets a copy, where ``VARIABLE`` is set."""
    if VARIABLE not in os.environ:
        yield
        return
    with patch("convscout.services.tracking.store._make", _Template(Path(os.environ[VARIABLE]))):
        yield


class _Template:
    """Makes databases, by copying the one in ``path``, which the store makes when the first is wanted."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, database: Path, artifacts: Path) -> None:
        with ExclusiveFileLock(f"{self._path}.lock"):
            if not self._path.exists():
                _make(self._path, self._path.parent)
        shutil.copyfile(self._path, database)
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("UPDATE experiments SET artifact_location = ?", [f"{artifacts.as_uri()}/0"])
