"""Where the MLflow database of a home says that artifacts lie: by absolute URLs, which a move or a copy makes wrong.

It is read and mended as the SQLite file it is: MLflow offers no way to change these URLs, and takes seconds to import.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from convscout.services.config.home import Home
from convscout.services.config.home_identity import HomeIdentity
from convscout.services.tracking.tags import HOME_TAG

_COLUMNS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
_TAGS = ("tags", "experiment_tags")
_PATIENCE_S = 60.0  # for a server that writes


def misplaced(home: Home) -> tuple[str, ...]:
    """The artifact directories of other homes that experiments in ``home`` lead to, as URLs.

    Raises ``sqlite3.Error`` for a database that is locked or damaged.
    """
    if not home.tracking_database.exists():
        return ()
    with _open(home) as connection:
        return tuple(sorted(_foreign(connection, home, {"experiments": _COLUMNS["experiments"]})))


def tagged_homes(home: Home) -> tuple[str, ...]:
    """The identities that experiments in ``home`` are tagged with. Raises as ``misplaced`` does."""
    if not home.tracking_database.exists():
        return ()
    with _open(home) as connection:
        if not list(_present(connection, {"experiment_tags": ("value",)})):
            return ()
        found = connection.execute("SELECT DISTINCT value FROM experiment_tags WHERE key = ?", (HOME_TAG,))
        return tuple(value for (value,) in found if value)


def relocate(home: Home, identity: HomeIdentity) -> None:
    """Let every link lead to the artifacts in ``home``, and what a former identity of it is tagged with be its own.

    Links that lead elsewhere than to a home's artifacts are left alone. Raises as ``misplaced`` does.
    """
    if not home.tracking_database.exists():
        return
    target = home.artifacts.as_uri()
    with _open(home) as connection, connection:
        for foreign in _foreign(connection, home, _COLUMNS):
            for table, column in _present(connection, _COLUMNS):
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                    f"WHERE substr({column} || '/', 1, ?) = ?",
                    (target, len(foreign) + 1, len(foreign) + 1, f"{foreign}/"),
                )
        for table, column in _present(connection, dict.fromkeys(_TAGS, ("value",))):
            for former in identity.former_ids:
                its = (identity.id, HOME_TAG, former)
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE key = ? AND {column} = ?", its)


def _foreign(connection: sqlite3.Connection, home: Home, columns: dict[str, tuple[str, ...]]) -> set[str]:
    """The artifact directories of other homes that links lead to."""
    marker = f"/{home.artifacts.name}"
    found = set()
    for table, column in _present(connection, columns):
        for (link,) in connection.execute(f"SELECT DISTINCT {column} FROM {table}"):
            head, known, _ = f"{link}/".rpartition(f"{marker}/")
            if known and head.startswith("file:"):
                found.add(head + marker)
    return {directory for directory in found if not _is_here(directory, home)}


def _is_here(directory: str, home: Home) -> bool:
    if directory == home.artifacts.as_uri():
        return True
    with suppress(OSError):  # a link, or a second name of one file system
        return Path(unquote(urlsplit(directory).path)).samefile(home.artifacts)
    return False


def _present(
    connection: sqlite3.Connection, columns: dict[str, tuple[str, ...]]
) -> Iterator[tuple[str, str]]:
    """Those of ``columns`` that the database has; older versions of MLflow know fewer."""
    for table, names in columns.items():
        there = {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")}
        yield from ((table, name) for name in names if name in there)


@contextmanager
def _open(home: Home) -> Iterator[sqlite3.Connection]:
    address = f"{home.tracking_database.as_uri()}?mode=rw"
    with closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE_S)) as connection:
        yield connection
