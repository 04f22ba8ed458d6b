"""Removal of what MLflow shows of a study that was deleted for good."""

from __future__ import annotations

import uuid

from mlflow.entities import LifecycleStage

from convscout.services.tracking.own_experiment import find_experiment
from convscout.services.tracking.source import TrackedStudy
from convscout.services.tracking.store import TrackingStore
from convscout.services.tracking.tags import HOME_TAG


def remove_runs(source: TrackedStudy) -> None:
    """Delete the experiment of the study with its runs. Its name is free again for another study."""
    store = TrackingStore.at(source.home)
    client = store.reader()
    experiment = client and find_experiment(client, store, source, even_deleted=True)
    if not client or not experiment:
        return
    if experiment.lifecycle_stage == LifecycleStage.DELETED:
        client.restore_experiment(experiment.experiment_id)  # else it can be changed no more
    # MLflow keeps what is deleted, with its name and its tags, by which a later study of the name would find it
    client.set_experiment_tag(experiment.experiment_id, HOME_TAG, "")
    client.rename_experiment(experiment.experiment_id, f"{source.name} (deleted {uuid.uuid4().hex[:8]})")
    client.delete_experiment(experiment.experiment_id)
