"""URLs of SQLite files, for SQLAlchemy and for what is built on it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote


def sqlite_url(path: Path) -> str:
    """The URL of the file at ``path``, which is absolute, whatever characters it has.

    It names the driver because MLflow first makes the parent directory of what begins with ``sqlite:///``, and does
    not undo the quotes. SQLAlchemy's own ``URL`` would do the same, but its import slows light commands.
    """
    return f"sqlite+pysqlite:///{quote(str(path), safe='/')}"
