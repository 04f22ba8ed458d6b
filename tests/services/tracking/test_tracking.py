"""The ledger in MLflow: mirrored while it grows, rebuilt when it was lost, audited."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run
from mlflow.tracking.client import MlflowClient
from PIL import Image
from sqlalchemy import Engine, event

from convscout.search_space.errors import ConvscoutError
from convscout.services.config.home import Home
from convscout.services.tracking.audit import differences
from convscout.services.tracking.mirror import Mirror
from convscout.services.tracking.projector import Projector, sync
from convscout.services.tracking.run_links import experiment_link, run_links
from convscout.services.tracking.runs import StudyRuns, find_runs
from convscout.services.tracking.source import DESCRIPTION_NOTE, METRICS_NOTE, OutcomeMetrics
from convscout.services.tracking.store import TrackingStore
from convscout.services.tracking.tags import TERMINAL_TAG
from convscout.trials.config import TrialState
from tests.support.recorded_study import EPOCHS, VALIDATION, RecordedStudy, recorded_study


@pytest.fixture
def study(tmp_path: Path) -> RecordedStudy:
    return recorded_study(tmp_path)


@pytest.fixture
def store(study: RecordedStudy) -> TrackingStore:
    return TrackingStore(uri=study.home.tracking_uri, artifacts=study.home.artifacts)


@pytest.fixture
def closed_port() -> Iterator[TrackingStore]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        yield TrackingStore(uri=f"http://127.0.0.1:{taken.getsockname()[1]}", artifacts=None)


def runs_of(study: RecordedStudy, store: TrackingStore) -> dict[int | None, Run]:
    client = store.client()
    found = find_runs(client, StudyRuns(study, store, None).experiment_id, study.name)
    assert all(len(runs) == 1 for runs in found.values())
    return {number: runs[0] for number, runs in found.items()}


def run_ids(study: RecordedStudy, store: TrackingStore) -> dict[int | None, str]:
    return {number: run.info.run_id for number, run in runs_of(study, store).items()}


def search_three_trials(study: RecordedStudy) -> None:
    study.train(0, state=TrialState.COMPLETED)
    study.train(1, epochs=2, state=TrialState.STOPPED)
    study.train(2, epochs=0, state=TrialState.FAILED)


class TestMirror:
    @pytest.mark.slow
    def test_follows_a_study_from_its_first_epoch_to_its_end(self, study, store):
        mirror = Mirror(lambda: Projector(study, store, VALIDATION))
        mirror.start()
        for epochs in range(EPOCHS):
            study.train(0, epochs=epochs)
            mirror.touch(0)
        search_three_trials(study)
        study.train(3, epochs=1)
        for number in range(4):
            mirror.touch(number)
        study.notes[METRICS_NOTE] = {"ensemble.val_accuracy": 0.97, "test.accuracy": 0.96}
        study.notes[DESCRIPTION_NOTE] = "**digits**"
        mirror.touch_study()
        assert mirror.close(30) == 0
        assert mirror.problem == ""
        assert differences(study, store) == []
        runs = runs_of(study, store)
        assert {number: run.info.status for number, run in runs.items()} == {
            None: "FINISHED",
            0: "FINISHED",
            1: "FINISHED",
            2: "FAILED",
            3: "RUNNING",
        }
        parent = runs[None]
        assert {
            run.data.tags["mlflow.parentRunId"] for number, run in runs.items() if number is not None
        } == {parent.info.run_id}
        assert runs[0].info.run_name == f"#0000 {study.records[0].family}"
        assert runs[2].data.tags["reason"] == "the loss became nan"
        codes = [runs[number].data.tags["reason_code"] for number in range(4)]
        assert codes == ["completed", "pruned", "diverged", ""]
        assert parent.data.tags["mlflow.note.content"].startswith("**digits**")
        assert parent.data.metrics["test.accuracy"] == 0.96
        assert parent.data.metrics["trials_finished"] == 3

    def test_keeps_settings_plots_and_the_best_checkpoint(self, study, store):
        study.train(0, state=TrialState.COMPLETED)
        sync(study, store, VALIDATION)
        kept = study.home.artifacts / run_ids(study, store)[0] / "artifacts"
        assert {file.name for file in kept.iterdir()} == {
            "config.json",
            "learning_curve.png",
            "confusion_matrix.png",
            "checkpoint",
        }
        for name in ("learning_curve.png", "confusion_matrix.png"):
            with Image.open(kept / name) as plot:
                assert plot.width > 400 and plot.height > 200
        best = next(study.ref.trial(0).glob("best-*"))
        assert (kept / "checkpoint" / best.name).read_bytes() == best.read_bytes()

    def test_copies_no_checkpoint_where_the_disk_is_a_budget(self, study, store):
        study.config = replace(study.config, disk=2**30)
        study.train(0, state=TrialState.COMPLETED)
        sync(study, store, VALIDATION)
        kept = study.home.artifacts / run_ids(study, store)[0] / "artifacts"
        assert "learning_curve.png" in {file.name for file in kept.iterdir()}
        assert not (kept / "checkpoint").exists()

    def test_the_best_accuracy_rises_as_trials_finish(self, study, store):
        study.train(1, state=TrialState.COMPLETED)
        study.train(4, epochs=1, state=TrialState.STOPPED)
        sync(study, store)
        study.train(5, state=TrialState.COMPLETED)
        sync(study, store)
        client = store.client()
        history = client.get_metric_history(run_ids(study, store)[None], "val_accuracy_best")
        best = [study.records[n].best.val_accuracy for n in (1, 1, 5)]
        assert [(metric.step, metric.value) for metric in history] == [*enumerate(best, start=1)]

    def test_resuming_goes_on_in_the_same_runs(self, study, store):
        study.train(0, epochs=2)
        first = Mirror(lambda: Projector(study, store))
        first.start()
        assert first.close(30) == 0
        before = run_ids(study, store)
        assert runs_of(study, store)[None].info.status == "KILLED"
        record = study.records[0]
        study.train(0, state=TrialState.COMPLETED)
        study.records[0] = replace(
            study.records[0],
            attempt=2,
            plan=record.config.next_attempt().to_dict(),
            started_at=record.started_at,
        )
        second = Mirror(lambda: Projector(study, store))
        second.start()  # not touched: what the first left undone is found
        assert second.close(30) == 0
        assert run_ids(study, store) == before
        assert differences(study, store) == []

    def test_rejected_and_uncommitted_trials_have_no_run(self, study, store):
        study.train(0, epochs=0, state=TrialState.REJECTED)
        study.train(1, epochs=0)
        study.records[1] = replace(study.records[1], plan=None)
        mirror = Mirror(lambda: Projector(study, store))
        mirror.start()
        mirror.touch(0)
        mirror.touch(1)
        assert mirror.close(30) == 0
        assert run_ids(study, store).keys() == {None}
        assert differences(study, store) == []

    def test_one_trial_that_cannot_be_mirrored_does_not_hold_up_the_others(self, study, store):
        search_three_trials(study)
        mirror = Mirror(lambda: Projector(study, store))
        mirror.start()
        mirror.touch(99)  # the ledger has no such trial
        for number in range(3):
            mirror.touch(number)
        deadline = time.monotonic() + 30
        while mirror.pending != 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "99" in mirror.problem
        assert mirror.close(30) == 1
        assert run_ids(study, store).keys() >= {0, 1, 2}


class TestDeadServer:
    def test_neither_touch_nor_close_waits_and_a_later_sync_heals(self, study, store, closed_port):
        search_three_trials(study)
        mirror = Mirror(lambda: Projector(study, closed_port, VALIDATION))
        mirror.start()
        began = time.perf_counter()
        for _ in range(300):
            for number in range(3):
                mirror.touch(number)
        assert (time.perf_counter() - began) / 900 < 0.001
        began = time.perf_counter()
        assert mirror.close(5) == 3
        assert time.perf_counter() - began < 5
        assert "MlflowException" in mirror.problem
        assert sync(study, store, VALIDATION) == 3
        assert differences(study, store) == []

    def test_a_server_that_never_answers_is_left_when_the_time_is_up(self, study):
        study.train(0, state=TrialState.COMPLETED)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            store = TrackingStore(uri=f"http://127.0.0.1:{silent.getsockname()[1]}", artifacts=None)
            mirror = Mirror(lambda: Projector(study, store))
            mirror.start()
            mirror.touch(0)
            began = time.perf_counter()
            assert mirror.close(0.3) == 1
            assert time.perf_counter() - began < 1

    def test_sync_says_what_to_do(self, study, closed_port):
        with pytest.raises(ConvscoutError, match="tracking store http") as raised:
            sync(study, closed_port)
        assert raised.value.next_command == "convscout sync demo"

    def test_a_trial_that_goes_on_while_mlflow_is_asked_about_it_is_not_forgotten(self, study, store):
        search_three_trials(study)
        sync(study, store, VALIDATION)
        asked, answer = threading.Event(), threading.Event()

        class Slow(Projector):
            def is_current(self, record):
                found = super().is_current(record)
                asked.set()
                assert answer.wait(60)
                return found

        mirror = Mirror(lambda: Slow(study, store, VALIDATION))
        mirror.start()
        assert asked.wait(60)
        study.train(1, state=TrialState.COMPLETED)  # it was stopped, and was let go on
        study.records[1] = replace(study.records[1], attempt=2, reopened=1)
        mirror.touch(1)
        answer.set()
        assert mirror.close(60) == 0 and mirror.problem == ""
        assert differences(study, store) == []


class TestSync:
    def test_twice_gives_the_same_runs_and_values(self, study, store):
        search_three_trials(study)
        study.train(3, epochs=2)
        study.notes[METRICS_NOTE] = {"test.accuracy": 0.96}
        sync(study, store, VALIDATION)
        before = run_ids(study, store)
        sync(study, store, VALIDATION)
        assert run_ids(study, store) == before
        assert differences(study, store) == []

    @pytest.mark.parametrize("later", [0.9, 0.99])
    def test_a_later_outcome_replaces_the_earlier_one_whether_it_fell_or_rose(self, study, store, later):
        search_three_trials(study)
        study.notes[METRICS_NOTE] = OutcomeMetrics(values={"test.accuracy": 0.95}, at_ms=1_000).to_note()
        sync(study, store, VALIDATION)
        study.train(3, state=TrialState.COMPLETED)
        sync(study, store, VALIDATION)  # while the next outcome is being found
        study.notes[METRICS_NOTE] = OutcomeMetrics(values={"test.accuracy": later}, at_ms=2_000).to_note()
        sync(study, store, VALIDATION)
        assert differences(study, store) == []

    @pytest.mark.slow
    def test_rebuilds_a_database_that_was_deleted(self, study, store):
        search_three_trials(study)
        sync(study, store)
        (study.home.root / "mlflow.db").unlink()
        fresh = replace(store, uri=f"sqlite:///{study.home.root / 'again.db'}")
        assert sync(study, fresh) == 3
        assert differences(study, fresh) == []

    def test_a_crash_before_the_terminal_tag_is_made_good_in_the_same_run(self, study, store):
        study.train(0, state=TrialState.COMPLETED)
        sync(study, store, VALIDATION)
        client, before = store.client(), run_ids(study, store)
        client.delete_tag(before[0], TERMINAL_TAG)  # what a kill just before the last step leaves
        client.update_run(before[0], status="RUNNING")
        shutil.rmtree(study.home.artifacts / before[0])
        assert len(differences(study, store)) == 3
        assert sync(study, store, VALIDATION) == 1
        assert run_ids(study, store) == before
        assert differences(study, store) == []
        assert "confusion_matrix.png" in {file.path for file in client.list_artifacts(before[0])}

    def test_a_run_that_was_made_twice_is_removed(self, study, store):
        study.train(0, epochs=1)
        sync(study, store)
        client, run = store.client(), runs_of(study, store)[0]
        client.create_run(run.info.experiment_id, start_time=run.info.start_time + 1, tags=run.data.tags)
        assert differences(study, store) == ["trial 0 has 2 runs in MLflow"]
        sync(study, store)
        assert differences(study, store) == []

    def test_trials_of_a_deleted_study_run_move_to_the_new_one(self, study, store):
        study.train(0, state=TrialState.COMPLETED)
        sync(study, store)
        store.client().delete_run(run_ids(study, store)[None])
        sync(study, store)
        assert differences(study, store) == []

    def test_the_experiment_is_named_after_the_study_and_says_what_it_is(self, study, store):
        study.train(0, state=TrialState.COMPLETED)
        study.notes[DESCRIPTION_NOTE] = "**digits**"
        sync(study, store)
        other = recorded_study(study.home.root, "other")
        sync(other, store)
        experiments = {each.name: each for each in store.client().search_experiments()}
        assert experiments.keys() == {"Default", "demo", "other"}
        tags = experiments["demo"].tags
        assert tags["mlflow.note.content"].startswith("**digits**\n")
        assert "](/studies/demo)" in tags["mlflow.note.content"]
        view = json.loads(json.loads(tags["mlflow.sharedViewState.convscout"])["state"])
        assert {"metrics.`score`", "tags.`family`", "tags.`reason`"} < set(view["selectedColumns"])
        assert view["orderByAsc"] is False
        assert "](/studies/demo/trials/0)" in runs_of(study, store)[0].data.tags["mlflow.note.content"]

    def test_a_study_that_makes_its_score_small_is_sorted_so(self, study, store):
        study.config = replace(study.config, objective=("nll", "params"))
        sync(study, store)
        tags = store.client().get_experiment_by_name("demo").tags
        view = json.loads(json.loads(tags["mlflow.sharedViewState.convscout"])["state"])
        assert view["orderByAsc"] is True and "metrics.`cost.params`" in view["selectedColumns"]

    def test_an_experiment_that_was_deleted_or_changed_is_mended(self, study, store):
        study.train(0, state=TrialState.COMPLETED)
        sync(study, store)
        before, client = run_ids(study, store), store.client()
        experiment_id = StudyRuns(study, store, None).experiment_id
        client.delete_experiment(experiment_id)
        assert differences(study, store) == ["MLflow knows nothing of the study"]
        assert sync(study, store) == 0
        assert run_ids(study, store) == before
        client.set_experiment_tag(experiment_id, "data", "others")
        assert differences(study, store) == [
            "the study: tag data is 'others' in MLflow and 'digits' in the ledger"
        ]
        sync(study, store)
        assert differences(study, store) == []

    def test_links_lead_to_the_runs_that_there_are(self, study, store):
        search_three_trials(study)
        sync(study, store)
        links = run_links(study.home.study("demo"))
        assert links.keys() == {None, 0, 1, 2}
        for number, run_id in run_ids(study, store).items():
            assert links[number].startswith("/mlflow/#/experiments/") and f"/runs/{run_id}?" in links[number]
        assert "/runs?viewStateShareKey=convscout" in (experiment_link(study.home.study("demo")) or "")
        store.client().delete_run(run_ids(study, store)[1])
        assert run_links(study.home.study("demo")).keys() == {None, 0, 2}

    def test_studies_of_one_home_do_not_mix(self, study, store):
        other = recorded_study(study.home.root, "other")
        for each in (study, other):
            each.train(0, state=TrialState.COMPLETED)
            sync(each, store)
        assert differences(study, store) == differences(other, store) == []
        assert not set(run_ids(study, store).values()) & set(run_ids(other, store).values())

    def test_more_trials_than_one_page_holds(self, study, store, monkeypatch):
        monkeypatch.setattr("convscout.services.tracking.runs._PAGE", 2)
        for number in range(5):
            study.train(number, epochs=1)
        sync(study, store)
        before = run_ids(study, store)
        assert before.keys() == {None, *range(5)}
        sync(study, store)
        assert run_ids(study, store) == before

    def test_more_epochs_than_one_call_takes(self, study, store):
        study.train(0, epochs=200, state=TrialState.COMPLETED)
        sync(study, store)
        assert differences(study, store) == []


def _statements(study: RecordedStudy, store: TrackingStore) -> int:
    """How often the database is asked to find that MLflow has all of the study."""
    asked: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert differences(study, store) == []
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    return len(asked)


class TestDifferences:
    @pytest.fixture
    def mirrored(self, study: RecordedStudy, store: TrackingStore) -> tuple[MlflowClient, str]:
        study.train(0, state=TrialState.COMPLETED)
        sync(study, store)
        return store.client(), run_ids(study, store)[0]

    def test_missing_and_foreign_runs(self, study, store, mirrored):
        study.records[5] = replace(study.records.pop(0), number=5)
        assert differences(study, store) == [
            "trial 5 has no run in MLflow",
            "MLflow has a run for trial 0, the ledger has none",
        ]

    def test_a_wrong_value(self, study, store, mirrored):
        client, run_id = mirrored
        client.log_metric(run_id, "val_loss", 0.5, step=2)
        (line,) = differences(study, store)
        assert line == "trial 0: metric val_loss differs at 1 step(s), first at step 2"

    def test_a_wrong_state(self, study, store, mirrored):
        client, run_id = mirrored
        client.set_tag(run_id, "state", "failed")
        assert differences(study, store) == [
            "trial 0: tag state is 'failed' in MLflow and 'completed' in the ledger"
        ]

    def test_a_value_that_was_logged_twice(self, study, store, mirrored):
        client, run_id = mirrored
        client.log_metric(run_id, "val_loss", study.records[0].measurements[0].val_loss, step=1)
        assert differences(study, store) == ["trial 0: metric val_loss has repeated values in MLflow"]

    def test_twice_as_many_trials_are_no_more_questions(self, study, store, mirrored):
        few = _statements(study, store)
        for number in (3, 4, 5):
            study.train(number, state=TrialState.COMPLETED)
        sync(study, store, VALIDATION)
        assert _statements(study, store) == few

    def test_an_outcome_that_is_not_mirrored(self, study, store, mirrored):
        study.notes[METRICS_NOTE] = {"test.accuracy": 0.9}
        assert differences(study, store) == [
            "the study: metric test.accuracy is None in MLflow and 0.9 in the ledger"
        ]


class TestTrackingStore:
    def test_several_processes_worth_of_clients_may_open_a_fresh_store_at_once(self, tmp_path):
        home, failures = Home(tmp_path), []

        def open_it() -> None:
            try:
                TrackingStore(uri=home.tracking_uri, artifacts=home.artifacts).client()
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=open_it) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []

    def test_the_environment_may_name_a_server(self, tmp_path, monkeypatch):
        home = Home(tmp_path)
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert TrackingStore.at(home) == TrackingStore(uri=home.tracking_uri, artifacts=home.artifacts)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5001")
        assert TrackingStore.at(home) == TrackingStore(uri="http://127.0.0.1:5001", artifacts=None)
