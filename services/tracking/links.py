"""Where MLflow shows a study and its trials, behind the service's one address."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from services.home import Home
from services.tracking.environment import server_address
from services.tracking.pages import VIEW, experiment_page, model_page, run_page
from services.tracking.tags import STUDY_TAG, TRIAL_TAG

_PATIENCE_S = 1.0  # for a writer that keeps the database locked: a page can do without its links
# the oldest run of several is the one that is kept, so it is read last
_RUNS = """
    SELECT trial.value, runs.experiment_id, runs.run_uuid
    FROM experiments
    JOIN runs ON runs.experiment_id = experiments.experiment_id AND runs.lifecycle_stage = 'active'
    JOIN tags AS study ON study.run_uuid = runs.run_uuid AND study.key = ? AND study.value = experiments.name
    LEFT JOIN tags AS trial ON trial.run_uuid = runs.run_uuid AND trial.key = ?
    WHERE experiments.name = ? AND experiments.lifecycle_stage = 'active'
    ORDER BY runs.start_time DESC, runs.run_uuid DESC
"""
_EXPERIMENT = "SELECT experiment_id FROM experiments WHERE name = ? AND lifecycle_stage = 'active'"
_MODEL = "SELECT name FROM registered_models WHERE name = ?"


def run_links(home: Home, study: str) -> dict[int | None, str]:
    """The path of each run under the service's address, by trial number; None is the study's own.

    Empty where MLflow has no run of the study, cannot be read now, or lies on a server elsewhere. One query, about
    60 ms for 5,000 trials.
    """
    return {
        None if number is None else int(number): run_page(experiment_id, run_id)
        for number, experiment_id, run_id in _rows(home, _RUNS, STUDY_TAG, TRIAL_TAG, study)
    }


def experiment_link(home: Home, study: str) -> str | None:
    """The path of the table of all its runs; None where ``run_links`` would be empty."""
    found = _rows(home, _EXPERIMENT, study)
    return experiment_page(found[0][0], VIEW) if found else None


def model_link(home: Home, study: str) -> str | None:
    """The path of the registered model; None where there is none, or where ``run_links`` would be empty."""
    return model_page(study) if _rows(home, _MODEL, study) else None


def _rows(home: Home, query: str, *values: str) -> list[tuple[str, ...]]:
    database = home.root / "mlflow.db"
    if server_address() or not database.exists():
        return []
    try:
        with _reading(database) as connection:
            return connection.execute(query, values).fetchall()
    except sqlite3.Error:  # locked, half made or damaged: `convscout check` tells which; a page shows no link
        return []


@contextmanager
def _reading(database: Path) -> Iterator[sqlite3.Connection]:
    """MLflow's own client reads whole runs, with every metric: 5,000 of them take seconds."""
    address = f"{database.as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE_S)) as connection:
        yield connection
