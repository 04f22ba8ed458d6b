"""The tables of Optuna's ``RDBStorage``, by what they hold.

They are private to Optuna, whose version is pinned for their sake; ``storage.py`` checks that a database has them.
"""

from __future__ import annotations

import json
from typing import Any

from optuna.storages._rdb import models
from sqlalchemy import Connection, Engine, Table, insert, select, update

STUDIES: Table = models.StudyModel.__table__
DIRECTIONS: Table = models.StudyDirectionModel.__table__
STUDY_USER: Table = models.StudyUserAttributeModel.__table__
STUDY_SYSTEM: Table = models.StudySystemAttributeModel.__table__
TRIALS: Table = models.TrialModel.__table__
TRIAL_USER: Table = models.TrialUserAttributeModel.__table__
TRIAL_SYSTEM: Table = models.TrialSystemAttributeModel.__table__
PARAMS: Table = models.TrialParamModel.__table__
VALUES: Table = models.TrialValueModel.__table__
STEPS: Table = models.TrialIntermediateValueModel.__table__

SCHEMA_KEY = "schema"


def schemas(engine: Engine) -> dict[str, int]:
    """The studies of convscout by name, oldest first, and the version of the schema that each was written in.

    Optuna's other studies, which have none, are left out.
    """
    return {name: int(version) for name, version in notes(engine, SCHEMA_KEY).items()}


def notes(engine: Engine, key: str, table: Table = STUDY_USER) -> dict[str, Any]:
    """One attribute of every study that has it, by the study's name, oldest first; no trial is read."""
    named = (
        select(STUDIES.c.study_name, table.c.value_json)
        .join(table, table.c.study_id == STUDIES.c.study_id)
        .where(table.c.key == key)
        .order_by(STUDIES.c.study_id)
    )
    with engine.connect() as connection:
        return {name: json.loads(stored) for name, stored in connection.execute(named)}


def study_row(connection: Connection, name: str) -> int:
    """The key of the study called ``name``, which must exist."""
    return int(connection.scalars(select(STUDIES.c.study_id).where(STUDIES.c.study_name == name)).one())


def study_attribute(connection: Connection, table: Table, study: int, key: str) -> str | None:
    """One attribute of a study as it is stored, or None where there is none."""
    its = (table.c.study_id == study) & (table.c.key == key)
    stored: str | None = connection.scalar(select(table.c.value_json).where(its))
    return stored


def put_study_attribute(connection: Connection, table: Table, study: int, key: str, value: Any) -> None:
    """Write one attribute of a study, whether or not it has one of that name."""
    its = (table.c.study_id == study) & (table.c.key == key)
    stored = json.dumps(value)
    if connection.execute(update(table).where(its).values(value_json=stored)).rowcount == 0:
        connection.execute(insert(table).values(study_id=study, key=key, value_json=stored))
