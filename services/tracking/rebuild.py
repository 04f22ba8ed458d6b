"""Rebuilding what MLflow has of a study, where bringing it up to date is not enough."""

from __future__ import annotations

from convscout.services.tracking.audit import differences, disagreements
from convscout.services.tracking.projector import sync
from convscout.services.tracking.runs import StudyRuns, find_runs
from convscout.services.tracking.source import TrackedStudy, ValidationLabels
from convscout.services.tracking.store import TrackingStore


def rebuild(
    source: TrackedStudy, store: TrackingStore, validation: ValidationLabels | None
) -> tuple[int, list[str]]:
    """Bring MLflow up to date, then make the runs anew that still differ from the ledger, and drop foreign ones.

    Returns how many runs of trials were behind or made anew, and how MLflow differs nevertheless. Raises
    ``ConvscoutError`` when the store does not answer.
    """
    behind = sync(source, store, validation)
    left = disagreements(source, store)
    wrong = {found.trial for found in left} - {None}
    if not wrong:
        return behind, [found.text for found in left]
    client = store.client()
    runs = find_runs(client, StudyRuns(source, store, validation).experiment_id, source.name)
    for number in wrong & runs.keys():
        for run in runs[number]:
            client.delete_run(run.info.run_id)
    return behind + sync(source, store, validation), differences(source, store)
