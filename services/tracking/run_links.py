"""Where MLflow shows a study and its trials, behind the service's one address."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from convscout.services.config.home import Home
from convscout.services.config.study_ref import StudyRef
from convscout.services.tracking.environment import server_address
from convscout.services.tracking.tags import HOME_TAG, STUDY_TAG, TRIAL_TAG
from convscout.services.tracking.urls import VIEW, experiment_page, model_page, run_page

_PATIENCE_S = 1.0  # for a writer that keeps the database locked: a page can do without its links
# the oldest run of several is the one that is kept, so it is read last
_RUNS = """
    SELECT trial.value, runs.experiment_id, runs.run_uuid
    FROM experiments
    JOIN runs ON runs.experiment_id = experiments.experiment_id AND runs.lifecycle_stage = 'active'
    JOIN tags AS study ON study.run_uuid = runs.run_uuid AND study.key = ? AND study.value = ?
    LEFT JOIN tags AS trial ON trial.run_uuid = runs.run_uuid AND trial.key = ?
    WHERE experiments.experiment_id = ?
    ORDER BY runs.start_time DESC, runs.run_uuid DESC
"""
# that of this home; one of an older version, which tagged none, has the name of the study
_EXPERIMENT = """
    SELECT experiments.experiment_id, experiments.name
    FROM experiments
    LEFT JOIN experiment_tags AS home ON home.experiment_id = experiments.experiment_id AND home.key = ?
    LEFT JOIN experiment_tags AS study ON study.experiment_id = experiments.experiment_id AND study.key = ?
    WHERE experiments.lifecycle_stage = 'active' AND (
        (home.value = ? AND study.value = ?) OR (coalesce(home.value, '') = '' AND experiments.name = ?)
    )
    ORDER BY coalesce(home.value, '') = ''
"""
_MODEL = "SELECT name FROM registered_models WHERE name = ?"


def run_links(ref: StudyRef) -> dict[int | None, str]:
    """The path of each run under the service's address, by trial number; None is the study's own.

    Empty where MLflow has no run of the study, cannot be read now, or lies on a server elsewhere. One query, about
    60 ms for 5,000 trials.
    """
    found = _experiment(ref)
    if found is None:
        return {}
    return {
        None if number is None else int(number): run_page(experiment_id, run_id)
        for number, experiment_id, run_id in _rows(ref.home, _RUNS, STUDY_TAG, ref.name, TRIAL_TAG, found[0])
    }


def experiment_link(ref: StudyRef) -> str | None:
    """The path of the table of all its runs; None where ``run_links`` would be empty."""
    found = _experiment(ref)
    return experiment_page(found[0], VIEW) if found else None


def model_link(ref: StudyRef) -> str | None:
    """The path of the registered model; None where there is none, or where ``run_links`` would be empty."""
    found = _experiment(ref)
    return model_page(found[1]) if found and _rows(ref.home, _MODEL, found[1]) else None


def _experiment(ref: StudyRef) -> tuple[str, ...] | None:
    """The id and the name of the study's experiment."""
    found = _rows(ref.home, _EXPERIMENT, HOME_TAG, STUDY_TAG, ref.home.id, ref.name, ref.name)
    return (str(found[0][0]), found[0][1]) if found else None


def _rows(home: Home, query: str, *values: str) -> list[tuple[str, ...]]:
    database = home.tracking_database
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
