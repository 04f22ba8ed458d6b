"""The database of the ledger: opening it, with Optuna's tables in it, and outlasting what does not last.

SQLite under the home, or PostgreSQL. Both are used through the same SQLAlchemy engine; what differs is here.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import optuna
from optuna.storages import RDBStorage
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from convscout.search_space.errors import LedgerAwayError, UserError
from convscout.services.config.home import PASSWORD_HINT, Home
from convscout.services.config.storage_url import without_password
from convscout.services.ledger.migrations import Copies, is_current, migrate
from convscout.services.ledger.retries import cause, persistently

OPEN_S = 10.0
_LOCKED_S = 60  # how long SQLite waits for another writer before it calls the database locked
_CREATION_LOCK = 7_266_283  # any number, the same in all processes
_POSTGRESQL = {
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # ms; without it a server that vanished is waited for by the hour
}


def open_storage(home: Home, *, confirmed: bool = False) -> Engine:
    """The database of ``home`` with Optuna's tables, made where there are none, and migrated where they are old.

    ``confirmed`` says that a person has a copy of a database that convscout cannot copy by itself. Raises
    ``LedgerAwayError`` when it does not answer, and ``UserError`` when something newer wrote it.
    """
    home.root.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # what it has to say, a listener says
    try:
        engine = _engine(home.storage_url)
        persistently(lambda: _prepare(home, engine, confirmed), patience_s=OPEN_S)
    except SQLAlchemyError as error:
        raise _away(home, error) from error
    return engine


def server_version(home: Home) -> str:
    """What the server that keeps the ledger says it is; nothing is written. Raises ``LedgerAwayError``."""
    try:
        with _engine(home.storage_url).connect() as connection:
            return f"PostgreSQL {connection.scalar(text('SHOW server_version'))}"
    except SQLAlchemyError as error:
        raise _away(home, error) from error


def shown(home: Home) -> str:
    """Where the ledger is, for a person."""
    url = home.storage_url
    return str(home.database) if url.startswith("sqlite") else without_password(url)


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection that sees the database as it is at its first look, whatever others write meanwhile."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")  # the driver begins by itself only before it writes
            yield connection
    else:
        with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            yield connection


@cache
def _engine(url: str) -> Engine:
    """One a process and database, so that connections to a server are made once."""
    if url.startswith("sqlite"):
        # a file is opened in no time, and one that is not open is in nobody's way
        return create_engine(url, connect_args={"timeout": _LOCKED_S}, poolclass=NullPool)
    try:
        engine = create_engine(url, pool_pre_ping=True, connect_args=_POSTGRESQL)
    except ModuleNotFoundError as missing:
        raise UserError(
            f"--storage: PostgreSQL needs {missing.name}, which is not installed",
            next_command="pip install 'convscout[postgresql]'",
        ) from None

    # whoever freezes in a transaction, or is cut off from the network, must not lock out who takes over
    @event.listens_for(engine, "connect")
    def limit_idleness(connection: Any, record: Any) -> None:
        connection.execute("SET idle_in_transaction_session_timeout = '30s'")
        connection.commit()

    return engine


def _prepare(home: Home, engine: Engine, confirmed: bool) -> None:
    """Make or migrate the tables, one process at a time: two at once break a fresh database."""
    if _has_newest_tables(engine) and is_current(engine):
        return
    with _alone(home, engine):
        if _optuna_version(engine) is None:
            with _optuna_storage(home.storage_url):
                pass  # which makes them
        copies = Copies(home, engine, confirmed)
        _migrate_optuna(home, engine, copies)
        migrate(home, engine, copies)


def _migrate_optuna(home: Home, engine: Engine, copies: Copies) -> None:
    """Bring Optuna's tables to the version that the installed Optuna writes."""
    version = _optuna_version(engine)
    assert version is not None
    if version == _newest_optuna_version():
        return
    writer = _optuna_writer(engine)
    with _optuna_storage(home.storage_url) as storage:
        if version not in storage.get_all_versions():
            raise UserError(
                f"the ledger {shown(home)} was written by optuna {writer} (tables {version}), but optuna "
                f"{optuna.__version__} is installed, which knows tables up to {_newest_optuna_version()}",
                next_command="pip install --upgrade optuna",
            )
        tables = f"tables of optuna {writer} ({version})"
        copies.make(f"optuna-{version}", tables, f"those of optuna {optuna.__version__}")
        storage.upgrade()


def _has_newest_tables(engine: Engine) -> bool:
    """Whether Optuna's tables are those that the installed Optuna writes.

    It notes its own version last when it makes or upgrades tables, so where that is the installed one, nobody need ask.
    """
    version = _optuna_version(engine)
    return version is not None and (
        _optuna_writer(engine) == optuna.__version__ or version == _newest_optuna_version()
    )


@cache
def _newest_optuna_version() -> str:
    """The version of the tables that the installed Optuna writes; looking it up takes alembic, half a second."""
    with _optuna_storage("sqlite://") as storage:
        return storage.get_head_version()


def _optuna_version(engine: Engine) -> str | None:
    """The version of the tables in the database, or None where there are none."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return version


def _optuna_writer(engine: Engine) -> str | None:
    """The version of the Optuna that made the tables in the database, or upgraded them."""
    with engine.connect() as connection:
        writer: str | None = connection.scalar(text("SELECT library_version FROM version_info"))
        return writer


@contextmanager
def _optuna_storage(url: str) -> Iterator[RDBStorage]:
    """Optuna's own view of the database, which makes the tables that are not there."""
    url = url.replace("{", "{{").replace("}", "}}")  # Optuna takes it as a template
    storage = RDBStorage(url, skip_compatibility_check=True)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


@contextmanager
def _alone(home: Home, engine: Engine) -> Iterator[None]:
    """Hold what only one process can hold, for the time of the block."""
    with (home.root / ".ledger.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if engine.dialect.name == "sqlite":
            yield
            return
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"SELECT pg_advisory_lock({_CREATION_LOCK})"))
            try:
                yield
            finally:
                connection.execute(text(f"SELECT pg_advisory_unlock({_CREATION_LOCK})"))


def _away(home: Home, error: SQLAlchemyError) -> LedgerAwayError:
    said = f"the ledger {shown(home)} cannot be opened: {cause(error)}{_advice(home, error)}"
    return LedgerAwayError(said, next_command="convscout doctor")


def _advice(home: Home, error: SQLAlchemyError) -> str:
    said = str(error).lower()
    if "password" in said:
        return f"; {PASSWORD_HINT}"
    if "does not exist" in said:
        return "; create it with createdb"
    if not os.access(home.root, os.W_OK):
        return f"; {home.root} may not be written to"
    return "; is the server running?" if not home.storage_url.startswith("sqlite") else ""
