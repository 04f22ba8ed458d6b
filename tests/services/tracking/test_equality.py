"""Whatever changes in the ledger, the audit sees it, and MLflow says the same once it was brought up to date."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Metric, Run
from mlflow.tracking.client import MlflowClient

from convscout.services.tracking.additions import EXPLANATIONS
from convscout.services.tracking.audit import disagreements
from convscout.services.tracking.projector import sync
from convscout.services.tracking.rebuild import rebuild
from convscout.services.tracking.run_content import RunContent, is_same, show
from convscout.services.tracking.runs import find_runs
from convscout.services.tracking.source import METRICS_NOTE, OutcomeMetrics
from convscout.services.tracking.store import TrackingStore
from convscout.trials.config import TrialState
from convscout.trials.end_reason import EndReason
from tests.support.recorded_study import RecordedStudy, recorded_study

BEFORE = {
    "fell": 0.9,
    "rose": 0.5,
    "became.nan": 0.9,
    "was.nan": math.nan,
    "became.infinite": 0.9,
    "removed": 0.9,
}
AFTER = {
    "fell": 0.8,
    "rose": 0.6,
    "became.nan": math.nan,
    "was.nan": 0.7,
    "became.infinite": math.inf,
    "added": 0.9,
}


def changed(**values: Any) -> Callable[[RecordedStudy, int], None]:
    def change(study: RecordedStudy, number: int) -> None:
        study.records[number] = replace(study.records[number], **values)

    return change


def epoch_changed(epoch: int, **values: float) -> Callable[[RecordedStudy, int], None]:
    def change(study: RecordedStudy, number: int) -> None:
        seen = list(study.records[number].measurements)
        seen[epoch - 1] = replace(seen[epoch - 1], **values)
        study.records[number] = replace(study.records[number], measurements=tuple(seen))

    return change


def cut_short(study: RecordedStudy, number: int) -> None:
    changed(measurements=study.records[number].measurements[:1])(study, number)


def trained_otherwise(study: RecordedStudy, number: int) -> None:
    plan = study.records[number].plan
    assert plan is not None
    changed(plan={**plan, "seed": 77})(study, number)


def ended(study: RecordedStudy, number: int) -> None:
    study.train(number, epochs=0, state=TrialState.FAILED)


def gone(study: RecordedStudy, number: int) -> None:
    del study.records[number]


# epochs, state before, and the change; trials without epochs have no plots, which take their time
TRIALS: tuple[tuple[int, TrialState, Callable[[RecordedStudy, int], None]], ...] = (
    (2, TrialState.COMPLETED, epoch_changed(2, val_accuracy=0.01)),  # what it is worth falls
    (2, TrialState.RUNNING, epoch_changed(2, val_loss=math.nan)),
    (3, TrialState.RUNNING, epoch_changed(2, val_loss=9.0)),  # a point that MLflow does not show
    (2, TrialState.RUNNING, cut_short),
    (0, TrialState.FAILED, changed(costs={"latency": 1.0, "params": 2.0})),  # one falls
    (0, TrialState.FAILED, changed(costs={"memory": 2.0, "params": 2.0})),  # one is renamed
    (0, TrialState.FAILED, changed(costs={"latency": math.nan, "params": math.inf})),
    (0, TrialState.FAILED, changed(complexity=None)),
    (0, TrialState.FAILED, trained_otherwise),  # a param
    (0, TrialState.FAILED, changed(reason="the loss became infinite")),  # a tag
    (0, TrialState.FAILED, changed(reason_code=EndReason.UNKNOWN)),  # a tag that goes
    (0, TrialState.RUNNING, ended),
    (0, TrialState.FAILED, changed(state=TrialState.RUNNING, reason="", reason_code=None, reopened=1)),
    (0, TrialState.FAILED, gone),
)


@pytest.fixture
def study(tmp_path: Path) -> RecordedStudy:
    return recorded_study(tmp_path)


@pytest.fixture
def store(study: RecordedStudy) -> TrackingStore:
    return TrackingStore(uri=study.home.tracking_uri, artifacts=study.home.artifacts)


def runs_of(client: MlflowClient, store: TrackingStore) -> dict[int | None, Run]:
    experiment = client.get_experiment_by_name("demo")
    assert experiment is not None
    found = find_runs(client, experiment.experiment_id, "demo")
    return {number: run for number, (run,) in found.items()}


@pytest.mark.slow
def test_every_change_of_a_trial_is_seen_and_mended(study: RecordedStudy, store: TrackingStore) -> None:
    for number, (epochs, state, _) in enumerate(TRIALS):
        study.train(number, epochs=epochs, state=state)
        changed(costs={"latency": 2.0, "params": 2.0})(study, number)
    sync(study, store)
    assert disagreements(study, store) == []
    for number, (_, _, change) in enumerate(TRIALS):
        change(study, number)
    seen = {found.trial for found in disagreements(study, store)}
    assert seen - {None} == set(range(len(TRIALS)))
    _, left = rebuild(study, store, None)
    assert left == []
    runs = runs_of(store.client(), store)
    assert runs.keys() == {None, *study.records}
    assert runs[0].data.metrics["score"] == study.records[0].score
    assert math.isnan(runs[1].data.metrics["val_loss"])
    assert runs[3].data.metrics["epoch"] == 1
    assert runs[4].data.metrics["cost.latency"] == 1.0
    assert math.isnan(runs[5].data.metrics["cost.latency"]) and runs[5].data.metrics["cost.memory"] == 2.0
    assert math.isnan(runs[7].data.metrics["complexity.params"])
    assert runs[8].data.params["seed"] == "77"
    assert "reason_code" not in runs[10].data.tags
    assert runs[None].data.metrics["trials_finished"] == 9
    before = {number: run.info.run_id for number, run in runs.items()}
    assert rebuild(study, store, None)[1] == []
    assert {number: run.info.run_id for number, run in runs_of(store.client(), store).items()} == before


def test_every_change_of_the_study_is_seen_and_mended(study: RecordedStudy, store: TrackingStore) -> None:
    study.train(0, epochs=0, state=TrialState.FAILED)
    study.notes[METRICS_NOTE] = OutcomeMetrics(values=BEFORE, at_ms=2_000).to_note()
    sync(study, store)
    before = runs_of(store.client(), store)[None]
    (study.home.root / "saliency.txt").write_text("a picture")
    store.client().log_artifact(before.info.run_id, str(study.home.root / "saliency.txt"), EXPLANATIONS)
    store.client().set_tag(before.info.run_id, "reviewed", "by a person")
    assert disagreements(study, store) == []
    # the clock was set back, so that the later outcome says that it was found earlier
    study.notes[METRICS_NOTE] = OutcomeMetrics(values=AFTER, at_ms=1_000).to_note()
    study.config = replace(study.config, trials=None, time_s=60.0)
    told = {found.text.removeprefix("the study: ") for found in disagreements(study, store)}
    assert {" ".join(text.split()[:2]) for text in told} == {
        *(f"metric {name}" for name in (*AFTER, "removed")),
        *("tag config.trials", "tag config.time_s"),
    }
    sync(study, store)
    assert disagreements(study, store) == []
    run = runs_of(store.client(), store)[None]
    assert run.info.run_id == before.info.run_id and run.data.tags["reviewed"] == "by a person"
    assert {name for name, value in run.data.metrics.items() if math.isnan(value)} == {
        "became.nan",
        "removed",
    }
    assert all(is_same(run.data.metrics[name], value) for name, value in AFTER.items())
    study.config = replace(study.config, seed=1)  # a param
    told = {found.text for found in disagreements(study, store)}
    assert told == {"the study: param seed is '0' in MLflow and '1' in the ledger"}
    sync(study, store)
    assert disagreements(study, store) == []
    fresh = runs_of(store.client(), store)[None]
    assert fresh.data.params["seed"] == "1"
    (kept,) = store.client().list_artifacts(fresh.info.run_id, EXPLANATIONS)
    assert kept.path == f"{EXPLANATIONS}/saliency.txt"


@pytest.mark.parametrize("shown", [0.9, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("wanted", [0.8, 0.95, math.nan, math.inf, None])
@pytest.mark.parametrize(("step", "timestamp"), [(0, 9), (3, 4), (3, 5), (3, 6), (4, 0)])
def test_a_figure_takes_the_place_of_any_other_whenever_it_was_found(
    shown: float, wanted: float | None, step: int, timestamp: int
) -> None:
    before = {"score": Metric("score", shown, timestamp=5, step=3)}
    figures = [] if wanted is None else [Metric("score", wanted, timestamp=timestamp, step=step)]
    content = RunContent(tags={}, params={}, settings={}, passing_tags=(), curves=(), figures=figures)
    after = show(content.supersede_figures(before), before)
    assert is_same(after["score"].value, wanted)
    assert content.supersede_figures(after) == []
