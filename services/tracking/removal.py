"""Removal of what MLflow shows of a study that was deleted for good."""

from __future__ import annotations

import uuid

from services.home import Home
from services.tracking.store import TrackingStore


def remove_runs(home: Home, study: str) -> None:
    """Delete the experiment of ``study`` with its runs. Its name is free again for another study."""
    client = TrackingStore.at(home).reader()
    experiment = client and client.get_experiment_by_name(study)
    if not client or not experiment:
        return
    # MLflow keeps what is deleted, and its name
    client.rename_experiment(experiment.experiment_id, f"{study} (deleted {uuid.uuid4().hex[:8]})")
    client.delete_experiment(experiment.experiment_id)
