"""ServiceStore: what the service itself must remember, such as who did what, who signed out, and what was answered.

It lies in ``service/service.db`` of the home. The ledger of the studies is another database.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    insert,
    select,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from convscout.search_space.errors import ConvscoutError
from convscout.services.config.sqlite_url import sqlite_url
from convscout.services.ledger.retries import cause
from convscout.services.system.private_files import private_directory, private_file

METADATA = MetaData()
SCHEMA = (
    1  # in the file itself, as SQLite's user_version; files of earlier versions have 0 and the same tables
)
LONGEST_TARGET = 500  # characters of a path that are kept
_LOCKED_S = 60  # how long SQLite waits for another writer before it calls the database locked
_ANSWERS_S = 86_400.0
_REVOKED_S = 86_400.0  # longer than any session lasts

_AUDIT = Table(
    "audit",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("client", String, nullable=False),
    Column("method", String, nullable=False),
    Column("route", String, nullable=False),
    Column("target", String, nullable=False),
    Column("status", Integer, nullable=False),
    sqlite_autoincrement=True,  # so that no number is given twice
)
_REVOKED = Table(
    "revoked_sessions",
    METADATA,
    Column("session", String, primary_key=True),
    Column("at_s", Float, nullable=False),
)
_ANSWERS = Table(
    "answers",
    METADATA,
    Column("key", String, primary_key=True),
    Column("asked", String, nullable=False),
    Column("answer", String, nullable=False),
    Column("at_s", Float, nullable=False),
)


@event.listens_for(_AUDIT, "after_create")
def _only_added_to(table: Table, connection: Connection, **options: Any) -> None:
    for change in ("UPDATE", "DELETE"):
        connection.exec_driver_sql(
            f"CREATE TRIGGER audit_refuses_{change.lower()} BEFORE {change} ON audit "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END"
        )


class KnownAnswer(NamedTuple):
    """What was answered, as JSON, to a request that ``asked`` stands for."""

    asked: str
    answer: str


class AuditRow(NamedTuple):
    """``actor`` did ``method`` at ``target``, a path, and was answered with ``status``; ``at`` is in ISO 8601, UTC.

    ``client`` is the address it came from, ``route`` the path as it was declared.
    """

    id: int
    at: str
    actor: str
    client: str
    method: str
    route: str
    target: str
    status: int


class ServiceStore:
    """The database at ``path``, which only this user can read. One process at a time holds its home's lock.

    Raises ``ConvscoutError`` where it cannot be opened, or a newer version wrote it.
    """

    def __init__(self, path: Path) -> None:
        private_directory(path.parent)
        self.engine = _engine(private_file(path))
        try:
            _prepare(self.engine, path)
            self._revoked = self._recently_revoked()
        except SQLAlchemyError as error:
            raise ConvscoutError(f"{path} cannot be opened: {cause(error)}") from error

    def audit(self, *, actor: str, client: str, method: str, route: str, target: str, status: int) -> None:
        """Add a row, which nothing can change any more. Raises ``ConvscoutError`` where it cannot be kept."""
        row = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "actor": actor,
            "client": client,
            "method": method[:LONGEST_TARGET],
            "route": route,
            "target": target[:LONGEST_TARGET],
            "status": status,
        }
        try:
            with self.engine.begin() as connection:
                connection.execute(insert(_AUDIT), row)
        except SQLAlchemyError as error:
            raise ConvscoutError(cause(error)) from error

    def audited(self, before: int | None, limit: int) -> Sequence[AuditRow]:
        """The newest ``limit`` rows, newest first; those older than the row numbered ``before``, if one is given."""
        query = select(_AUDIT).order_by(_AUDIT.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(_AUDIT.c.id < before)
        with self.engine.connect() as connection:
            return [AuditRow(*row) for row in connection.execute(query)]

    def revoke(self, session: str) -> None:
        """The session whose id this is has ended."""
        if session in self._revoked:
            return
        with self.engine.begin() as connection:
            connection.execute(
                insert(_REVOKED).prefix_with("OR IGNORE"), {"session": session, "at_s": time.time()}
            )
        self._revoked.add(session)

    def is_revoked(self, session: str) -> bool:
        """Whether it has ended; asked of memory, as every request of a browser asks it."""
        return session in self._revoked

    def answered(self, key: str) -> KnownAnswer | None:
        """What was answered to the request of that idempotency ``key`` within the last day."""
        query = select(_ANSWERS.c.asked, _ANSWERS.c.answer).where(
            _ANSWERS.c.key == key, _ANSWERS.c.at_s > time.time() - _ANSWERS_S
        )
        with self.engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return KnownAnswer(*row) if row else None

    def remember(self, key: str, asked: str, answer: str) -> None:
        """Keep what was answered to the request of ``key``; what is a day old is forgotten."""
        now = time.time()
        row = {"key": key, "asked": asked, "answer": answer, "at_s": now}
        with self.engine.begin() as connection:
            connection.execute(_ANSWERS.delete().where(_ANSWERS.c.at_s <= now - _ANSWERS_S))
            connection.execute(insert(_ANSWERS), row)

    def _recently_revoked(self) -> set[str]:
        """Sessions that have ended and may still be shown a cookie of; the others are forgotten."""
        with self.engine.begin() as connection:
            connection.execute(_REVOKED.delete().where(_REVOKED.c.at_s < time.time() - _REVOKED_S))
            return set(connection.scalars(select(_REVOKED.c.session)))


def _prepare(engine: Engine, path: Path) -> None:
    """Make the tables, unless they are there. Raises ``ConvscoutError`` for those of a newer version."""
    with engine.begin() as connection:
        found = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
        if found > SCHEMA:
            raise ConvscoutError(
                f"{path} was written by a newer version of convscout (schema {found}, this one knows {SCHEMA}); "
                "update convscout, or choose another --home"
            )
        METADATA.create_all(connection)
        connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA}")


def _engine(path: Path) -> Engine:
    # a file is opened in no time, and one that is not open is in nobody's way
    engine = create_engine(sqlite_url(path), connect_args={"timeout": _LOCKED_S}, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def as_safe_as_it_gets(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = FULL")

    return engine
