"""Outlasting what does not last: a database that is locked, restarting or away for a while."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from convscout.services.config.storage_url import hide_passwords

T = TypeVar("T")
DatabaseFailure: TypeAlias = OperationalError
"""What a transaction raises that the database cannot carry out, now or ever."""

RETRY_S = 300.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 5.0
_SQLITE_PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
# classes of PostgreSQL's error codes: connection, serialization and deadlock, resources, restart
_PASSING = ("08", "40", "53", "57")
_LASTING = (
    "authentication failed",
    "no password supplied",
    "does not exist",
    "could not translate host name",
)


def persistently(
    action: Callable[[], T], *, notify: Callable[[str], None] | None = None, patience_s: float = RETRY_S
) -> T:
    """What ``action`` returns; it is called again while the database is locked, restarting or away.

    So it must be a whole transaction. ``notify`` hears once that the database does not answer, and once that it
    does again. After ``patience_s`` seconds, or for what does not pass, the last error is raised.
    """
    give_up = time.monotonic() + patience_s
    pause_s, waited = _FIRST_PAUSE_S, False
    while True:
        try:
            result = action()
        except DBAPIError as error:
            if not is_passing(error) or time.monotonic() > give_up:
                raise
            if notify and not waited:
                notify(f"the ledger's database does not answer ({cause(error)}); trying again")
            waited = True
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        else:
            if notify and waited:
                notify("the ledger's database answers again")
            return result


def is_passing(error: DBAPIError) -> bool:
    """Whether the same transaction may succeed later."""
    if error.connection_invalidated:
        return True
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _SQLITE_PASSING
    state: str | None = getattr(error.orig, "sqlstate", None)
    if state is None:  # the connection failed, and what the server said is known by its text alone
        return isinstance(error, OperationalError) and not any(word in str(error) for word in _LASTING)
    return state[:2] in _PASSING


def cause(error: SQLAlchemyError) -> str:
    """One line on what the database said."""
    said = str(error.orig if isinstance(error, DBAPIError) else error)
    return hide_passwords(next(iter(said.splitlines()), type(error).__name__).strip())
