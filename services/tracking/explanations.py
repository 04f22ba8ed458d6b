"""Explanations in MLflow: pictures that belong to the run of a study."""

from __future__ import annotations

from pathlib import Path

from convscout.services.tracking.additions import EXPLANATIONS
from convscout.services.tracking.own_experiment import find_experiment
from convscout.services.tracking.runs import find_runs
from convscout.services.tracking.source import TrackedStudy
from convscout.services.tracking.store import TrackingStore


def log_explanations(store: TrackingStore, source: TrackedStudy, directory: Path) -> bool:
    """Put the files of ``directory`` into the run of the study; False when MLflow has no run of it.

    Raises one of ``TRACKING_ERRORS`` when the store does not answer.
    """
    client = store.client()
    experiment = find_experiment(client, store, source)
    runs = find_runs(client, experiment.experiment_id, source.name).get(None) if experiment else None
    if not runs:
        return False
    store.put_artifacts(runs[0].info.artifact_uri, directory, EXPLANATIONS)
    return True
