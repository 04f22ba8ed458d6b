"""Explanations in MLflow: pictures that belong to the run of a study."""

from __future__ import annotations

from pathlib import Path

from services.tracking.store import TrackingStore
from services.tracking.study_runs import find_runs

FOLDER = "explanations"


def log_explanations(store: TrackingStore, study: str, directory: Path) -> bool:
    """Put the files of ``directory`` into the run of ``study``; False when MLflow has no run of it.

    Raises one of ``TRACKING_ERRORS`` when the store does not answer.
    """
    client = store.client()
    runs = find_runs(client, store.experiment_id(client, study), study).get(None)
    if not runs:
        return False
    client.log_artifacts(runs[0].info.run_id, str(directory), FOLDER)
    return True
