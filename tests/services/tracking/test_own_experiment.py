"""Homes that share an MLflow server: each finds its own runs, whatever the names of studies."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

import pytest

from convscout.services.config.home import Home
from convscout.services.config.home_identity import HomeIdentity
from convscout.services.tracking.audit import differences
from convscout.services.tracking.own_experiment import find_experiment
from convscout.services.tracking.projector import sync
from convscout.services.tracking.removal import remove_runs
from convscout.services.tracking.run_links import run_links
from convscout.services.tracking.runs import StudyRuns, find_runs
from convscout.services.tracking.store import TrackingStore
from convscout.trials.config import TrialState
from tests.support.recorded_study import RecordedStudy, recorded_study


@pytest.fixture
def shared(tmp_path: Path) -> TrackingStore:
    return TrackingStore.at(Home(tmp_path / "shared"))


def study_of(root: Path, *, identity: bool = True, days: int = 0) -> RecordedStudy:
    """A study called demo in a home of its own, whose trial began so many days later than others do."""
    study = recorded_study(root)
    study.train(0, state=TrialState.COMPLETED)
    begun = study.records[0].started_at
    assert begun is not None
    study.records[0] = replace(study.records[0], started_at=begun + datetime.timedelta(days=days))
    if identity:
        identify(study)
    return study


def identify(study: RecordedStudy) -> None:
    HomeIdentity.new(study.home.root).save(study.home.root)


def runs_of(study: RecordedStudy, store: TrackingStore) -> set[str]:
    client = store.client()
    experiment = find_experiment(client, store, study)
    assert experiment is not None
    return {runs[0].info.run_id for runs in find_runs(client, experiment.experiment_id, study.name).values()}


def test_two_homes_with_a_study_of_one_name_have_runs_of_their_own(tmp_path, shared):
    one, other = study_of(tmp_path / "one"), study_of(tmp_path / "other")
    other.train(1, state=TrialState.FAILED)
    for study, behind in ((one, 1), (other, 2), (one, 0), (other, 0)):
        assert sync(study, shared) == behind
    assert differences(one, shared) == differences(other, shared) == []
    assert len(runs_of(one, shared)) == 2 and len(runs_of(other, shared)) == 3
    assert runs_of(one, shared).isdisjoint(runs_of(other, shared))
    assert StudyRuns(one, shared, None).name == "demo"
    assert StudyRuns(other, shared, None).name == f"demo-{other.home.id[:8]}"


def test_what_an_older_version_wrote_belongs_to_the_home_that_knows_its_trials(tmp_path, shared):
    one, other = study_of(tmp_path / "one", identity=False), study_of(tmp_path / "other", days=1)
    sync(one, shared)
    before = runs_of(one, shared)
    assert sync(other, shared) == 1
    identify(one)
    assert differences(one, shared) == []
    assert (sync(one, shared), sync(one, shared)) == (1, 0), "its runs are tagged, once"
    assert runs_of(one, shared) == before
    assert runs_of(other, shared).isdisjoint(before)


def test_an_experiment_without_trials_belongs_to_the_first_home_that_comes(tmp_path, shared):
    shared.client().create_experiment("demo")
    one, other = study_of(tmp_path / "one"), study_of(tmp_path / "other")
    sync(one, shared)
    sync(other, shared)
    assert [StudyRuns(study, shared, None).name for study in (one, other)] == [
        "demo",
        f"demo-{other.home.id[:8]}",
    ]


def test_a_home_that_keeps_the_runs_of_others_links_to_its_own(tmp_path):
    host, guest = study_of(tmp_path / "host"), study_of(tmp_path / "guest")
    store = TrackingStore.at(host.home)
    sync(guest, store)
    assert run_links(host.ref) == {}
    sync(host, store)
    links = "".join(run_links(host.ref).values())
    assert len(run_links(host.ref)) == 2
    assert all(run in links for run in runs_of(host, store))


def test_the_deleted_study_of_an_earlier_time_is_not_taken_up_again(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    study = study_of(tmp_path / "one")
    store = TrackingStore.at(study.home)
    sync(study, store)
    before = runs_of(study, store)
    remove_runs(study)
    assert find_experiment(store.client(), store, study) is None
    assert sync(study, store) == 1
    assert runs_of(study, store).isdisjoint(before)
