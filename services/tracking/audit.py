"""Audit: where the ledger and MLflow disagree. It reads MLflow through its public client and trusts no cursor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from mlflow.entities import Experiment, Metric, Run
from mlflow.tracking.client import MlflowClient

from services.tracking import projection
from services.tracking.artifacts import study_tag
from services.tracking.experiment import experiment_tags
from services.tracking.projection import FINAL_METRICS, STATUS
from services.tracking.source import METRICS_NOTE, Source
from services.tracking.store import TrackingStore, find_experiment
from services.tracking.study_runs import find_runs
from services.tracking.tags import PLOTS_TAG, TERMINAL_TAG
from services.trial_record import TrialRecord
from trials.config import TrialState


@dataclass(frozen=True, kw_only=True)
class Difference:
    """``text`` says how the ledger and MLflow disagree on a ``trial``, or on the study itself (None)."""

    trial: int | None
    text: str


def differences(source: Source, store: TrackingStore) -> list[str]:
    """The texts of all ``disagreements``."""
    return [found.text for found in disagreements(source, store)]


def disagreements(source: Source, store: TrackingStore) -> list[Difference]:
    """Every disagreement on the set of trials, their states, settings and values; empty if none.

    Nothing is made in MLflow. Raises ``MlflowException`` when it does not answer.
    """
    client = store.reader()
    experiment = client and find_experiment(client, source.name)
    if not client or not experiment:
        return [Difference(trial=None, text="MLflow knows nothing of the study")]
    runs = find_runs(client, experiment.experiment_id, source.name)
    records = {record.number: record for record in source.trials() if projection.is_projected(record)}
    found = list(_set_differences(records, runs))
    study_id = ""
    if None in runs:
        study_id = runs[None][0].info.run_id
        found += [
            Difference(trial=None, text=f"the study: {line}")
            for line in _study_differences(source, experiment, runs[None][0])
        ]
    for number in sorted(records.keys() & runs.keys()):
        found += [
            Difference(trial=number, text=f"trial {number}: {line}")
            for line in _trial_differences(client, source, records[number], runs[number][0], study_id)
        ]
    return found


def _set_differences(records: Iterable[int], runs: dict[int | None, list[Run]]) -> Iterator[Difference]:
    expected, present = set(records), {number for number in runs if number is not None}
    if None not in runs:
        yield Difference(trial=None, text="the study has no run in MLflow")
    for number in sorted(expected - present):
        yield Difference(trial=number, text=f"trial {number} has no run in MLflow")
    for number in sorted(present - expected):
        yield Difference(trial=number, text=f"MLflow has a run for trial {number}, the ledger has none")
    for trial, same in runs.items():
        if len(same) > 1:
            what = "the study" if trial is None else f"trial {trial}"
            yield Difference(trial=trial, text=f"{what} has {len(same)} runs in MLflow")


def _study_differences(source: Source, experiment: Experiment, run: Run) -> Iterator[str]:
    yield from _unequal("tag", experiment_tags(source), experiment.tags)
    yield from _unequal("param", projection.study_params(source.config), run.data.params)
    tags = projection.study_tags(source) | {PLOTS_TAG: study_tag(source, source.trials())}
    yield from _unequal("tag", tags, run.data.tags)
    yield from _unequal("metric", source.note(METRICS_NOTE) or {}, run.data.metrics)


def _unequal(kind: str, expected: Mapping[str, object], actual: Mapping[str, object]) -> Iterator[str]:
    for key, value in expected.items():
        if actual.get(key) != value:
            yield f"{kind} {key} is {actual.get(key)!r} in MLflow and {value!r} in the ledger"


def _trial_differences(
    client: MlflowClient, source: Source, record: TrialRecord, run: Run, study_id: str
) -> Iterator[str]:
    tags = projection.trial_tags(record, source.name, study_id)
    if record.state is not TrialState.RUNNING:
        tags[TERMINAL_TAG] = str(record.state)
    yield from _unequal("status", {"of the run": STATUS[record.state]}, {"of the run": run.info.status})
    yield from _unequal("tag", tags, run.data.tags)
    yield from _unequal("param", projection.trial_params(record), run.data.params)
    metrics = projection.epoch_metrics(record, after=0) + projection.fixed_metrics(record)
    if record.state is not TrialState.RUNNING:
        metrics += projection.final_metrics(record)
    yield from _metric_differences(client, run, metrics, FINAL_METRICS if record.reopened else frozenset())


def _metric_differences(
    client: MlflowClient, run: Run, expected: Sequence[Metric], superseded: Set[str]
) -> Iterator[str]:
    """Of metrics that are ``superseded``, whose earlier values no ledger knows, only the last is compared."""
    for key in sorted({metric.key for metric in expected} | run.data.metrics.keys()):
        ledger = {(metric.step, metric.value) for metric in expected if metric.key == key}
        history = client.get_metric_history(run.info.run_id, key) if key in run.data.metrics else []
        mirrored = [(metric.step, metric.value) for metric in history]
        if key in superseded:
            mirrored = sorted(mirrored)[-1:] if ledger else []
        if len(mirrored) != len(set(mirrored)):
            yield f"metric {key} has repeated values in MLflow"
        if wrong := sorted(ledger ^ set(mirrored)):
            step = wrong[0][0]
            yield f"metric {key} differs at {len(wrong)} step(s), first at step {step}"
