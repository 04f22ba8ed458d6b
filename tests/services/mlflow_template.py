"""An MLflow database without runs, of which every home gets a copy."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from services.tracking.store import _make


class Template:
    """Makes databases, by copying the one in ``path``, which the store makes when the first is wanted."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, database: Path, artifacts: Path) -> None:
        if not self._path.exists():
            _make(self._path, self._path.parent)
        shutil.copyfile(self._path, database)
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("UPDATE experiments SET artifact_location = ?", [f"{artifacts.as_uri()}/0"])
