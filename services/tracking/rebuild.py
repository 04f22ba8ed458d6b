"""Rebuilding what MLflow has of a study, where bringing it up to date is not enough."""

from __future__ import annotations

from services.tracking.audit import disagreements
from services.tracking.projector import sync
from services.tracking.source import Source, ValidationLabels
from services.tracking.store import TrackingStore
from services.tracking.study_runs import find_runs


def rebuild(source: Source, store: TrackingStore, validation: ValidationLabels | None) -> None:
    """Bring MLflow up to date, then make the runs anew that still differ from the ledger, and drop foreign ones.

    Raises ``ConvscoutError`` when the store does not answer.
    """
    sync(source, store, validation)
    wrong = {found.trial for found in disagreements(source, store)} - {None}
    if not wrong:
        return
    client = store.client()
    runs = find_runs(client, store.experiment_id(client, source.name), source.name)
    for number in wrong & runs.keys():
        for run in runs[number]:
            client.delete_run(run.info.run_id)
    sync(source, store, validation)
