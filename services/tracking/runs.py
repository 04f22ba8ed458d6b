"""StudyRuns: the MLflow runs of one study, each brought up to date with the ledger by what it lacks."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.tracking.client import MlflowClient

from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.tracking import projection
from convscout.services.tracking.additions import keep_additions
from convscout.services.tracking.artifacts import study_tag, write_artifacts, write_study_artifacts
from convscout.services.tracking.experiment import experiment_tags
from convscout.services.tracking.mirrored_run import MirroredRun
from convscout.services.tracking.own_experiment import require_experiment
from convscout.services.tracking.projection import EPOCH_METRIC, FINISHED_METRIC, STATUS
from convscout.services.tracking.run_content import RunContent, show
from convscout.services.tracking.source import OutcomeMetrics, TrackedStudy, ValidationLabels
from convscout.services.tracking.store import TrackingStore
from convscout.services.tracking.tags import PLOTS_TAG, STUDY_TAG, TERMINAL_TAG, TRIAL_TAG
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.config import TrialState

_PAGE = 100  # of 1,000, a busy server took longer than a call may
_METRICS_A_CALL = 800  # MLflow takes 1,000 entities a call, params and tags included
_COUNTERS = (EPOCH_METRIC, FINISHED_METRIC)


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
    was deleted all mend themselves. ``name`` is that of its experiment, and of its model if it has one.
    """

    def __init__(
        self, source: TrackedStudy, store: TrackingStore, validation: ValidationLabels | None
    ) -> None:
        self._source = source
        self._store = store
        self._validation = validation
        self._client = store.client()
        experiment = require_experiment(self._client, store, source)
        self.experiment_id, self.name = str(experiment.experiment_id), str(experiment.name)
        self._experiment_tags = dict(self._client.get_experiment(self.experiment_id).tags)
        found = find_runs(self._client, self.experiment_id, source.name)
        self._remove_duplicates(found)
        mirrored: dict[int | None, MirroredRun] = {
            number: MirroredRun.of(
                runs[0],
                FINISHED_METRIC if number is None else EPOCH_METRIC,
                kept=store.keeps_artifacts(runs[0]),
            )
            for number, runs in found.items()
        }
        self._trials = {number: run for number, run in mirrored.items() if number is not None}
        self._study = self._open_study(found.get(None, ()), mirrored.get(None))

    @property
    def study_run_id(self) -> str:
        """The run of the study itself, which all trials' runs are nested in."""
        return self._study.run_id

    def is_current(self, record: TrialRecord) -> bool:
        """Whether nothing is left to do for the trial unless it goes on."""
        return not projection.is_projected(record) or self._is_shown(record, self._content(record))

    def update_trial(self, record: TrialRecord) -> None:
        """Bring the trial's run up to date, creating it if there is none, or none that can be brought up to date."""
        if not projection.is_projected(record):
            return
        content, final = self._content(record), record.state is not TrialState.RUNNING
        if self._is_shown(record, content):
            return
        run = self._trials.get(record.number)
        if run is not None and run.contradicts(content):
            self._client.delete_run(self._trials.pop(record.number).run_id)
            run = None
        run = run or self._create_trial(record)
        ended = {TERMINAL_TAG: ""} if TERMINAL_TAG in run.tags else {}
        self._log(run, run.find_missing(content.curves), content, ended)
        if final:
            self._finish_trial(run, record)
        elif run.status != STATUS[record.state]:
            self._client.update_run(run.run_id, status=STATUS[record.state])
            run.status = STATUS[record.state]

    def update_study(self, finished: Mapping[int, TrialRecord], *, active: bool) -> None:
        """Bring the study's own run up to date.

        ``finished`` are the final trials; ``active`` says whether a search is under way.
        """
        content = projection.study_content(self._source, finished)
        if not (self._study.kept and content.params.keys() <= self._study.params.keys()):
            self._put_config()
        history = projection.progress_metrics(finished, after=self._study.logged)
        self._log(self._study, history, content, {})
        self._describe_experiment()
        if active:
            self._client.update_run(self.study_run_id, status="RUNNING")
        else:
            ended = max((projection.milliseconds(r.finished_at) for r in finished.values()), default=None)
            status = "KILLED" if OutcomeMetrics.of(self._source) is None else "FINISHED"
            self._client.set_terminated(self.study_run_id, status, end_time=ended)

    def update_plots(self) -> None:
        """Draw the study as it is now, with the report of its test images, unless MLflow has that already."""
        records = self._source.trials()
        shown = study_tag(self._source, records)
        if self._study.tags.get(PLOTS_TAG) == shown:
            return
        with tempfile.TemporaryDirectory() as directory:
            write_study_artifacts(self._source, records, Path(directory))
            self._store.put_artifacts(self._study.artifact_uri, Path(directory))
        self._tag(self._study, {PLOTS_TAG: shown})

    def _put_config(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            (Path(directory) / "config.json").write_text(json.dumps(self._source.config.to_dict(), indent=2))
            self._store.put_artifacts(self._study.artifact_uri, Path(directory))

    def _describe_experiment(self) -> None:
        for key, value in experiment_tags(self._source).items():
            if self._experiment_tags.get(key) != value:
                self._client.set_experiment_tag(self.experiment_id, key, value)
                self._experiment_tags[key] = value

    def _is_shown(self, record: TrialRecord, content: RunContent) -> bool:
        """Whether the trial's run is in its final form and shows ``content``."""
        run = self._trials.get(record.number)
        return run is not None and run.tags.get(TERMINAL_TAG) == str(record.state) and run.shows(content)

    def _content(self, record: TrialRecord) -> RunContent:
        return projection.trial_content(record, self._source.ref, self.study_run_id)

    def _open_study(self, found: Sequence[Run], run: MirroredRun | None) -> MirroredRun:
        """The study's own ``run``; one that MLflow cannot bring to what the ledger says is made anew."""
        if run is None:
            return self._create_study()
        if not run.contradicts(projection.study_content(self._source, {})):
            return run
        fresh = self._create_study()
        keep_additions(self._client, found[0], fresh.run_id)
        self._client.delete_run(run.run_id)
        return fresh

    def _create_study(self) -> MirroredRun:
        began = [r.started_at for r in self._source.trials() if r.started_at is not None]
        run = self._client.create_run(
            self.experiment_id,
            start_time=projection.milliseconds(min(began)) if began else None,
            tags=projection.study_tags(self._source),
        )
        return MirroredRun.of(run, FINISHED_METRIC)

    def _create_trial(self, record: TrialRecord) -> MirroredRun:
        run = self._client.create_run(
            self.experiment_id,
            start_time=projection.milliseconds(record.started_at) or None,
            tags=projection.trial_tags(record, self._source.ref, self.study_run_id),
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
        self, run: MirroredRun, history: Sequence[Metric], content: RunContent, more_tags: Mapping[str, str]
    ) -> None:
        """Log what the run lacks of ``history`` and ``content``, the counters last: they vouch for the rest."""
        figures = content.supersede_figures(show(history, run.shown))
        metrics = sorted([*history, *figures], key=lambda metric: metric.key in _COUNTERS)
        self._tag(run, {**content.tags, **more_tags}, content.params)
        for stale in content.find_stale_tags(run.tags):
            self._client.delete_tag(run.run_id, stale)
            del run.tags[stale]
        for start in range(0, len(metrics), _METRICS_A_CALL):
            self._client.log_batch(run.run_id, metrics[start : start + _METRICS_A_CALL])
        run.shown = show(metrics, run.shown)

    def _tag(
        self, run: MirroredRun, tags: Mapping[str, str], params: Mapping[str, str] | None = None
    ) -> None:
        """Log those of ``tags`` and ``params`` that the run lacks."""
        tags = {key: value for key, value in tags.items() if run.tags.get(key, "") != value}
        params = {key: value for key, value in (params or {}).items() if key not in run.params}
        if tags or params:
            self._client.log_batch(
                run.run_id,
                params=[Param(key, value) for key, value in params.items()],
                tags=[RunTag(key, value) for key, value in tags.items()],
            )
        run.tags |= tags
        run.params |= params

    def _finish_trial(self, run: MirroredRun, record: TrialRecord) -> None:
        trial = TrialDirectory(self._source.ref.trial(record.number))
        with tempfile.TemporaryDirectory() as directory:
            write_artifacts(record, trial, self._validation, Path(directory))
            self._store.put_artifacts(run.artifact_uri, Path(directory))
        best = trial.best_file()
        if best is not None and self._source.config.disk is None:  # else copies would exceed what was granted
            self._store.put_artifacts(run.artifact_uri, best, "checkpoint")
        run.status, ended = STATUS[record.state], projection.milliseconds(record.finished_at)
        self._client.set_terminated(run.run_id, run.status, end_time=ended or None)
        # last of all: a run without it is done again after a crash
        self._tag(run, {TERMINAL_TAG: str(record.state)})
