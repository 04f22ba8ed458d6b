"""StudyRuns: the MLflow runs of one study, each brought up to date with the ledger by what it lacks."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.tracking.client import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from services.tracking import projection
from services.tracking.artifacts import study_tag, write_artifacts, write_study_artifacts
from services.tracking.experiment import experiment_tags
from services.tracking.projection import EPOCH_METRIC, FINISHED_METRIC, STATUS
from services.tracking.source import METRICS_NOTE, Source, ValidationLabels
from services.tracking.store import TrackingStore
from services.tracking.tags import PLOTS_TAG, STUDY_TAG, TERMINAL_TAG, TRIAL_TAG
from services.trial_record import TrialRecord
from trials.checkpoint import TrialDirectory
from trials.config import TrialState

_PAGE = 100  # of 1,000, a busy server took longer than a call may
_METRICS_A_CALL = 800  # MLflow takes 1,000 entities a call, params and tags included
_COUNTERS = (EPOCH_METRIC, FINISHED_METRIC)


@dataclass(kw_only=True)
class MirroredRun:
    """What MLflow holds of one run: all that is needed to tell what it lacks."""

    run_id: str
    status: str
    tags: dict[str, str]
    params: frozenset[str]
    logged: int  # epochs of a trial, finished trials of a study

    @classmethod
    def of(cls, run: Run, counter: str) -> Self:
        """What ``run`` shows; the last value of the metric ``counter`` says how far it has come."""
        return cls(
            run_id=run.info.run_id,
            status=run.info.status,
            tags=dict(run.data.tags),
            params=frozenset(run.data.params),
            logged=int(run.data.metrics.get(counter, 0)),
        )


def find_runs(client: MlflowClient, experiment_id: str, study: str) -> dict[int | None, list[Run]]:
    """The study's runs by trial number, oldest first; those of the study itself under None."""
    found: dict[int | None, list[Run]] = defaultdict(list)
    token = None
    while True:
        page = client.search_runs(
            [experiment_id],
            f"tags.`{STUDY_TAG}` = '{study}'",
            max_results=_PAGE,
            order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
            page_token=token,
        )
        for run in page:
            number = run.data.tags.get(TRIAL_TAG)
            found[int(number) if number is not None else None].append(run)
        token = page.token
        if not token:
            return dict(found)


class StudyRuns:
    """Brings the runs of one study up to date. After any error it is stale: open it again.

    Opening it looks at what MLflow has, so a crash between two calls, a lost answer or a store that
    was deleted all mend themselves.
    """

    def __init__(self, source: Source, store: TrackingStore, validation: ValidationLabels | None) -> None:
        self._source = source
        self._validation = validation
        self._client = store.client()
        self._experiment_id = store.experiment_id(self._client, source.name)
        self._experiment_tags = dict(self._client.get_experiment(self._experiment_id).tags)
        found = find_runs(self._client, self._experiment_id, source.name)
        self._remove_duplicates(found)
        self._trials = {
            n: MirroredRun.of(runs[0], EPOCH_METRIC) for n, runs in found.items() if n is not None
        }
        self._study = (
            MirroredRun.of(found[None][0], FINISHED_METRIC) if None in found else self._create_study()
        )

    @property
    def study_run_id(self) -> str:
        """The run of the study itself, which all trials' runs are nested in."""
        return self._study.run_id

    def is_current(self, record: TrialRecord) -> bool:
        """Whether nothing is left to do for the trial unless it goes on."""
        if not projection.is_projected(record):
            return True
        run = self._trials.get(record.number)
        return (
            run is not None
            and run.tags.get(TERMINAL_TAG) == str(record.state)
            and run.logged == _last_epoch(record)  # it may have gone on after its end
            and run.tags.get(MLFLOW_PARENT_RUN_ID) == self.study_run_id
        )

    def update_trial(self, record: TrialRecord) -> None:
        """Bring the trial's run up to date, creating it if there is none."""
        if self.is_current(record):
            return
        run = self._trials.get(record.number) or self._create_trial(record)
        final = record.state is not TrialState.RUNNING
        metrics = projection.epoch_metrics(record, after=run.logged)
        if final or not run.params:
            metrics += projection.fixed_metrics(record)
        if final:
            metrics += projection.final_metrics(record)
        tags = projection.trial_tags(record, self._source.name, self.study_run_id)
        if TERMINAL_TAG in run.tags:
            tags[TERMINAL_TAG] = ""
        self._log(run, metrics, projection.trial_params(record), tags)
        run.logged = _last_epoch(record)
        if final:
            self._finish_trial(run, record)
        elif run.status != STATUS[record.state]:
            self._client.update_run(run.run_id, status=STATUS[record.state])
            run.status = STATUS[record.state]

    def update_study(self, finished: Mapping[int, TrialRecord], *, active: bool) -> None:
        """Bring the study's own run up to date.

        ``finished`` are the final trials; ``active`` says whether a search is under way.
        """
        outcome = self._source.note(METRICS_NOTE)
        metrics = projection.progress_metrics(finished, after=self._study.logged)
        if outcome is not None:
            metrics += projection.outcome_metrics(outcome, finished)
        params, tags = projection.study_params(self._source.config), projection.study_tags(self._source)
        if not params.keys() <= self._study.params:
            self._client.log_dict(self.study_run_id, self._source.config.to_dict(), "config.json")
        self._log(self._study, metrics, params, tags)
        self._describe_experiment()
        self._study.logged = max(self._study.logged, len(finished))
        if active:
            self._client.update_run(self.study_run_id, status="RUNNING")
        else:
            ended = max((projection.milliseconds(r.finished_at) for r in finished.values()), default=None)
            status = "KILLED" if outcome is None else "FINISHED"
            self._client.set_terminated(self.study_run_id, status, end_time=ended)

    def update_plots(self) -> None:
        """Draw the study as it is now, with the report of its test images, unless MLflow has that already."""
        records = self._source.trials()
        shown = study_tag(self._source, records)
        if self._study.tags.get(PLOTS_TAG) == shown:
            return
        with tempfile.TemporaryDirectory() as directory:
            write_study_artifacts(self._source, records, Path(directory))
            self._client.log_artifacts(self.study_run_id, directory)
        self._log(self._study, [], {}, {PLOTS_TAG: shown})

    def _describe_experiment(self) -> None:
        for key, value in experiment_tags(self._source).items():
            if self._experiment_tags.get(key) != value:
                self._client.set_experiment_tag(self._experiment_id, key, value)
                self._experiment_tags[key] = value

    def _create_study(self) -> MirroredRun:
        began = [r.started_at for r in self._source.trials() if r.started_at is not None]
        run = self._client.create_run(
            self._experiment_id,
            start_time=projection.milliseconds(min(began)) if began else None,
            tags=projection.study_tags(self._source),
        )
        return MirroredRun.of(run, FINISHED_METRIC)

    def _create_trial(self, record: TrialRecord) -> MirroredRun:
        run = self._client.create_run(
            self._experiment_id,
            start_time=projection.milliseconds(record.started_at) or None,
            tags=projection.trial_tags(record, self._source.name, self.study_run_id),
        )
        self._client.log_inputs(run.info.run_id, [projection.dataset_input(record, self._source.config)])
        self._trials[record.number] = MirroredRun.of(run, EPOCH_METRIC)
        return self._trials[record.number]

    def _remove_duplicates(self, found: Mapping[int | None, Sequence[Run]]) -> None:
        """A server that was slower than our patience may have made a run that we then made again."""
        for runs in found.values():
            for duplicate in runs[1:]:
                self._client.delete_run(duplicate.info.run_id)

    def _log(
        self, run: MirroredRun, metrics: Sequence[Metric], params: Mapping[str, str], tags: Mapping[str, str]
    ) -> None:
        """Log what the run lacks, the counters last: they vouch for what came before them."""
        tags = {key: value for key, value in tags.items() if run.tags.get(key) != value}
        params = {key: value for key, value in params.items() if key not in run.params}
        metrics = sorted(metrics, key=lambda metric: metric.key in _COUNTERS)
        if tags or params:
            self._client.log_batch(
                run.run_id,
                params=[Param(key, value) for key, value in params.items()],
                tags=[RunTag(key, value) for key, value in tags.items()],
            )
        for start in range(0, len(metrics), _METRICS_A_CALL):
            self._client.log_batch(run.run_id, metrics[start : start + _METRICS_A_CALL])
        run.tags |= tags
        run.params |= params.keys()

    def _finish_trial(self, run: MirroredRun, record: TrialRecord) -> None:
        trial = TrialDirectory(self._source.home.trial(self._source.name, record.number))
        with tempfile.TemporaryDirectory() as directory:
            write_artifacts(record, trial, self._validation, Path(directory))
            self._client.log_artifacts(run.run_id, directory)
        best = trial.best_file()
        if best is not None and self._source.config.disk is None:  # else copies would exceed what was granted
            self._client.log_artifact(run.run_id, str(best), "checkpoint")
        run.status, ended = STATUS[record.state], projection.milliseconds(record.finished_at)
        self._client.set_terminated(run.run_id, run.status, end_time=ended or None)
        # last of all: a run without it is done again after a crash
        self._log(run, [], {}, {TERMINAL_TAG: str(record.state)})


def _last_epoch(record: TrialRecord) -> int:
    return max((m.epoch for m in record.measurements), default=0)
