"""Which experiment of MLflow is that of a study: homes may share a server, and have studies of one name.

An experiment is tagged with the home that it belongs to. Under the study's name lies that of the home which came
first; the name of any other ends with the first characters of its home's identity. So does that of its model.

Older versions tagged no home. What they left in the database of a home is that home's. On a server it belongs to the
home whose ledger knows one of the trials there by the moment it began; where there is no trial yet, to the first home
that brings MLflow up to date.
"""

from __future__ import annotations

from collections.abc import Iterator

from mlflow.entities import Experiment, LifecycleStage, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking.client import MlflowClient

from convscout.services.config.study_ref import StudyRef
from convscout.services.tracking.projection import home_and_study, milliseconds
from convscout.services.tracking.source import TrackedStudy
from convscout.services.tracking.store import TrackingStore
from convscout.services.tracking.tags import HOME_TAG, STUDY_TAG, TRIAL_TAG

_SHORT = 8  # characters of an identity
_LOOK = 100  # runs of an older experiment, whether or not somebody deleted them


def find_experiment(
    client: MlflowClient, store: TrackingStore, source: TrackedStudy, *, even_deleted: bool = False
) -> Experiment | None:
    """The experiment of the study, unless there is none or, if that matters, somebody deleted it."""
    found = _find(client, store, source)
    there = found is not None and (even_deleted or found.lifecycle_stage == LifecycleStage.ACTIVE)
    return found if there else None


def require_experiment(client: MlflowClient, store: TrackingStore, source: TrackedStudy) -> Experiment:
    """The experiment of the study, which is made if need be, or restored if somebody deleted it."""
    found, home = _find(client, store, source) or _create(client, store, source.ref), source.home.id
    if found.lifecycle_stage == LifecycleStage.DELETED:
        client.restore_experiment(found.experiment_id)
    if home and found.tags.get(HOME_TAG) != home:
        client.set_experiment_tag(found.experiment_id, HOME_TAG, home)
    return found


def _find(client: MlflowClient, store: TrackingStore, source: TrackedStudy) -> Experiment | None:
    if home := source.home.id:
        its = f"tags.`{HOME_TAG}` = '{home}' AND tags.`{STUDY_TAG}` = '{source.name}'"
        found = client.search_experiments(view_type=ViewType.ALL, filter_string=its)
        if found:
            return min(found, key=lambda each: each.lifecycle_stage == LifecycleStage.DELETED)
    older = client.get_experiment_by_name(source.name)
    kept_here = store.database == source.home.tracking_database
    if older is None or (older.tags.get(HOME_TAG) and not (kept_here and not source.home.id)):
        return None
    return older if kept_here or _is_known(client, older, source) else None


def _is_known(client: MlflowClient, older: Experiment, source: TrackedStudy) -> bool:
    """Whether the trials that an older version put there are those of ``source``."""
    its = f"tags.`{STUDY_TAG}` = '{source.name}'"
    runs = client.search_runs([older.experiment_id], its, ViewType.ALL, max_results=_LOOK)
    trials = [run for run in runs if TRIAL_TAG in run.data.tags]
    began = {record.number: milliseconds(record.started_at) for record in source.trials()}
    return not trials or any(
        began.get(int(run.data.tags[TRIAL_TAG])) == run.info.start_time for run in trials
    )


def _create(client: MlflowClient, store: TrackingStore, ref: StudyRef) -> Experiment:
    location = store.artifacts.as_uri() if store.artifacts else None
    for name in _names(ref):
        try:
            return client.get_experiment(client.create_experiment(name, location, home_and_study(ref)))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # another process of this home may have been faster
        found = client.get_experiment_by_name(name)
        if found and found.tags.get(HOME_TAG, "") == ref.home.id and found.tags.get(STUDY_TAG) == ref.name:
            return found
    raise MlflowException(f"every name for the experiment of study {ref.name!r} is taken: {[*_names(ref)]}")


def _names(ref: StudyRef) -> Iterator[str]:
    """What its experiment may be called, the most wanted first."""
    yield ref.name
    if ref.home.id:
        yield f"{ref.name}-{ref.home.id[:_SHORT]}"
        yield f"{ref.name}-{ref.home.id}"
