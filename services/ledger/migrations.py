"""The schema of what convscout writes into the ledger, and how a study that an older one wrote is brought to it.

A study says which schema it was written in. ``STEPS`` has, for each schema but the newest, what makes the next one
of it, in one transaction a study. Before the first, a copy is made of the whole database.
"""

from __future__ import annotations

import json
import logging
import math
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Engine, select, update

from convscout.search_space.errors import UserError
from convscout.services.config.home import Home
from convscout.services.config.storage_url import for_libpq
from convscout.services.ledger.fencing import LEASE_KEY, Lease, read_lease
from convscout.services.ledger.optuna_schema import (
    SCHEMA_KEY,
    STUDY_SYSTEM,
    STUDY_USER,
    TRIAL_USER,
    TRIALS,
    put_study_attribute,
    schemas,
    study_row,
)
from convscout.services.system.locks import is_free
from convscout.trials.checkpoints.durable_files import Durability, placing

_log = logging.getLogger(__name__)


def _add_lease_and_qualities(connection: Connection, study: int) -> None:
    """From 1: studies have a lease in the ledger, and epochs three more qualities, which were not measured then."""
    put_study_attribute(connection, STUDY_SYSTEM, study, LEASE_KEY, Lease().to_dict())
    of_study = select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study)
    epochs = select(TRIAL_USER).where(
        TRIAL_USER.c.trial_id.in_(of_study), TRIAL_USER.c.key.like("measurement:%")
    )
    unknown = dict.fromkeys(("val_balanced_accuracy", "val_macro_f1", "val_calibration_error"), math.nan)
    [key] = TRIAL_USER.primary_key
    for row in connection.execute(epochs).all():
        whole = json.dumps(unknown | json.loads(row.value_json))
        its = key == row._mapping[key]
        connection.execute(update(TRIAL_USER).where(its).values(value_json=whole))


STEPS: Mapping[int, Callable[[Connection, int], None]] = {1: _add_lease_and_qualities}
"""By the schema that each begins with. Each gets a connection within a transaction, and the key of a study."""

SCHEMA = 1 + len(STEPS)
"""What this convscout reads and writes."""


class Copies:
    """Makes a copy of the database of ``home`` before its first change; or, of one that a server keeps, asks for it.

    ``confirmed`` says that a person has made that copy.
    """

    def __init__(self, home: Home, engine: Engine, confirmed: bool) -> None:
        self._home = home
        self._engine = engine
        self._confirmed = confirmed
        self._made = False

    def make(self, label: str, old: str, new: object) -> None:
        """Make sure of a copy, whose name has the ``label``, before ``old`` becomes ``new``. Raises ``UserError``."""
        if self._made or self._confirmed:
            return
        if self._engine.dialect.name != "sqlite":
            url = for_libpq(self._home.storage_url)
            raise UserError(
                f"the ledger {url} has {old}, but this convscout writes {new}; make a copy first, e.g. "
                f"pg_dump --file=convscout-{label}.sql '{url}', stop every search in it, and then migrate it",
                next_command="convscout migrate",
            )
        copy = _copy(self._home.database, label)
        _log.warning("the ledger had %s and now has %s; a copy of it as it was is %s", old, new, copy)
        self._made = True


def is_current(engine: Engine) -> bool:
    """Whether no study is older than this convscout."""
    return all(version >= SCHEMA for version in schemas(engine).values())


def require_current(engine: Engine, name: str) -> None:
    """Raise ``UserError`` when the study called ``name`` cannot be opened by this convscout."""
    version = schemas(engine)[name]
    if version > SCHEMA:
        raise UserError(
            f"study {name!r} was written by a newer convscout (schema {version}; this one knows up to {SCHEMA})",
            next_command="pip install --upgrade convscout",
        )
    if version < SCHEMA:
        raise UserError(
            f"study {name!r} is being run by an older convscout (schema {version}; this one writes {SCHEMA}); "
            f"stop that one first, by its own `convscout stop {name}`"
        )


def migrate(home: Home, engine: Engine, copies: Copies) -> None:
    """Bring every study that no process runs to the present schema, each in one transaction, after a copy."""
    for name, version in schemas(engine).items():
        if version >= SCHEMA or _is_run(home, engine, name):
            continue
        copies.make(f"v{version}", f"studies of schema {version}", f"schema {SCHEMA}")
        with engine.begin() as connection:
            study = study_row(connection, name)
            for step in range(version, SCHEMA):
                STEPS[step](connection, study)
            put_study_attribute(connection, STUDY_USER, study, SCHEMA_KEY, SCHEMA)


def _is_run(home: Home, engine: Engine, name: str) -> bool:
    """Whether a process runs the study, as an older convscout or this one shows it."""
    lock = home.study(name).directory / "controller.lock"
    if lock.exists() and not is_free(lock):
        return True
    with engine.connect() as connection:
        study = study_row(connection, name)
    return read_lease(engine, study).living_holder(home) is not None


def _copy(database: Path, label: str) -> Path:
    """A consistent copy of the SQLite file, beside it and on disk."""
    copy = database.with_name(f"{database.name}.backup-{label}-{time.strftime('%Y%m%d-%H%M%S')}")
    with (
        placing(copy, Durability.FLUSHED) as fresh,
        closing(sqlite3.connect(database)) as source,
        closing(sqlite3.connect(fresh)) as target,
    ):
        source.backup(target)
    return copy
