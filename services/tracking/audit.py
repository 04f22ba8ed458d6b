"""Audit: where the ledger and MLflow disagree. It reads MLflow through its public client and trusts no cursor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from mlflow.entities import Metric, Run
from mlflow.tracking.client import MlflowClient

from services.study import TrialRecord
from services.tracking import projection
from services.tracking.projection import STATUS, TERMINAL_TAG
from services.tracking.source import METRICS_NOTE, Source
from services.tracking.store import TrackingStore
from services.tracking.study_runs import find_runs
from trials.config import TrialState


def differences(source: Source, store: TrackingStore) -> list[str]:
    """Every disagreement on the set of trials, their states, settings and values, one line each; empty if none."""
    client = store.client()
    runs = find_runs(client, store.experiment_id(client), source.name)
    records = {record.number: record for record in source.trials() if projection.is_projected(record)}
    found = list(_set_differences(records, runs))
    study_id = ""
    if None in runs:
        study_id = runs[None][0].info.run_id
        found += (f"the study: {line}" for line in _study_differences(source, runs[None][0]))
    for number in sorted(records.keys() & runs.keys()):
        found += (
            f"trial {number}: {line}"
            for line in _trial_differences(client, source, records[number], runs[number][0], study_id)
        )
    return found


def _set_differences(records: Iterable[int], runs: dict[int | None, list[Run]]) -> Iterator[str]:
    expected, present = set(records), {number for number in runs if number is not None}
    if None not in runs:
        yield "the study has no run in MLflow"
    yield from (f"trial {number} has no run in MLflow" for number in sorted(expected - present))
    yield from (f"MLflow has a run for trial {n}, the ledger has none" for n in sorted(present - expected))
    for number, same in runs.items():
        if len(same) > 1:
            what = "the study" if number is None else f"trial {number}"
            yield f"{what} has {len(same)} runs in MLflow"


def _study_differences(source: Source, run: Run) -> Iterator[str]:
    yield from _unequal("param", projection.study_params(source.config), run.data.params)
    yield from _unequal("tag", projection.study_tags(source), run.data.tags)
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
    yield from _metric_differences(client, run, metrics)


def _metric_differences(client: MlflowClient, run: Run, expected: Sequence[Metric]) -> Iterator[str]:
    for key in sorted({metric.key for metric in expected} | run.data.metrics.keys()):
        ledger = {(metric.step, metric.value) for metric in expected if metric.key == key}
        history = client.get_metric_history(run.info.run_id, key) if key in run.data.metrics else []
        mirrored = [(metric.step, metric.value) for metric in history]
        if len(mirrored) != len(set(mirrored)):
            yield f"metric {key} has repeated values in MLflow"
        if wrong := sorted(ledger ^ set(mirrored)):
            step = wrong[0][0]
            yield f"metric {key} differs at {len(wrong)} step(s), first at step {step}"
