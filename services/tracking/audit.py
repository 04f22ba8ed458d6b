"""Audit: where the ledger and MLflow disagree. It reads MLflow through its public client and trusts no cursor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlflow.entities import Experiment, Metric, Run
from mlflow.tracking.client import MlflowClient

from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.tracking import projection
from convscout.services.tracking.artifacts import study_tag
from convscout.services.tracking.experiment import experiment_tags
from convscout.services.tracking.mirrored_run import read_shown
from convscout.services.tracking.own_experiment import find_experiment
from convscout.services.tracking.projection import STATUS
from convscout.services.tracking.run_content import RunContent, stored
from convscout.services.tracking.runs import find_runs
from convscout.services.tracking.source import TrackedStudy
from convscout.services.tracking.store import MetricHistories, TrackingStore
from convscout.services.tracking.tags import HOME_TAG, PLOTS_TAG, TERMINAL_TAG
from convscout.trials.config import TrialState

_RUNS_AT_ONCE = 100  # whose metrics are in memory together


@dataclass(frozen=True, kw_only=True)
class Difference:
    """``text`` says how the ledger and MLflow disagree on a ``trial``, or on the study itself (None)."""

    trial: int | None
    text: str


def differences(source: TrackedStudy, store: TrackingStore) -> list[str]:
    """The texts of all ``disagreements``."""
    return [found.text for found in disagreements(source, store)]


def disagreements(source: TrackedStudy, store: TrackingStore) -> list[Difference]:
    """Every disagreement on the set of trials, their states, settings and values; empty if none.

    Nothing is made in MLflow. Raises ``MlflowException`` when it does not answer.
    """
    client = store.reader()
    experiment = client and find_experiment(client, store, source)
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
            for line in _study_differences(client, source, store, experiment, runs[None][0])
        ]
    common = sorted(records.keys() & runs.keys())
    for begin in range(0, len(common), _RUNS_AT_ONCE):
        some = {number: runs[number][0] for number in common[begin : begin + _RUNS_AT_ONCE]}
        histories = store.metric_histories(client, list(some.values()))
        found += [
            Difference(trial=number, text=f"trial {number}: {line}")
            for number, run in some.items()
            for line in _trial_differences(source, store, records[number], run, study_id, histories)
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


def _study_differences(
    client: MlflowClient, source: TrackedStudy, store: TrackingStore, experiment: Experiment, run: Run
) -> Iterator[str]:
    yield from _unequal("tag", _comparable(experiment_tags(source), experiment.tags), experiment.tags)
    finished = {
        record.number: record
        for record in source.trials()
        if projection.is_projected(record) and record.state is not TrialState.RUNNING
    }
    plots = {PLOTS_TAG: study_tag(source, source.trials())}
    histories = store.metric_histories(client, [run])
    yield from _content_differences(projection.study_content(source, finished), plots, run, histories)
    if not store.keeps_artifacts(run):
        yield f"its artifacts are not at {run.info.artifact_uri}"


def _trial_differences(
    source: TrackedStudy,
    store: TrackingStore,
    record: TrialRecord,
    run: Run,
    study_id: str,
    histories: MetricHistories,
) -> Iterator[str]:
    terminal = {TERMINAL_TAG: "" if record.state is TrialState.RUNNING else str(record.state)}
    yield from _unequal("status", {"of the run": STATUS[record.state]}, {"of the run": run.info.status})
    content = projection.trial_content(record, source.ref, study_id)
    yield from _content_differences(content, terminal, run, histories)
    if record.state is not TrialState.RUNNING and not store.keeps_artifacts(run):
        yield f"its artifacts are not at {run.info.artifact_uri}"


def _content_differences(
    content: RunContent, more_tags: Mapping[str, str], run: Run, histories: MetricHistories
) -> Iterator[str]:
    tags, params = _comparable({**content.tags, **more_tags}, run.data.tags), run.data.params
    # where nothing is to be said, the tag may be missing: an older version did not know it
    yield from _unequal("tag", tags, dict.fromkeys(tags, "") | run.data.tags)
    for key in content.find_stale_tags(run.data.tags):
        yield f"tag {key} is {run.data.tags[key]!r} in MLflow, and the ledger has none"
    false = content.find_false_params(params)
    wanted = {**content.params, **{key: content.settings.get(key) for key in false}}
    yield from _unequal("param", wanted, params)
    yield from _curve_differences(run, content.curves, histories)
    for key, value, shown in content.find_false_figures(read_shown(run)):
        yield f"metric {key} is {shown!r} in MLflow and {value!r} in the ledger"


def _comparable(expected: Mapping[str, str], actual: Mapping[str, str]) -> dict[str, str]:
    """``expected`` without the home where an older version left it out: its experiment says whose a run is."""
    return {key: value for key, value in expected.items() if key != HOME_TAG or key in actual}


def _unequal(kind: str, expected: Mapping[str, object], actual: Mapping[str, object]) -> Iterator[str]:
    for key, value in expected.items():
        if actual.get(key) != value:
            yield f"{kind} {key} is {actual.get(key)!r} in MLflow and {value!r} in the ledger"


def _curve_differences(run: Run, curves: Sequence[Metric], histories: MetricHistories) -> Iterator[str]:
    for key in sorted({point.key for point in curves}):
        ledger = [(point.step, stored(point.value)) for point in curves if point.key == key]
        mirrored = [(point.step, stored(point.value)) for point in histories.get((run.info.run_id, key), ())]
        if len(mirrored) != len(set(mirrored)):
            yield f"metric {key} has repeated values in MLflow"
        if wrong := {step for step, _ in set(ledger) ^ set(mirrored)}:
            yield f"metric {key} differs at {len(wrong)} step(s), first at step {min(wrong)}"
