"""How a study and its trials read in MLflow: pure functions from the ledger's values to MLflow's entities.

Every timestamp is derived from the ledger, never from the clock, so that logging a value twice is
logging it once: MLflow's stores keep one of equal (key, step, timestamp, value). How a value that changed takes the
place of an earlier one is told in ``run_content.py``.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric
from mlflow.utils.mlflow_tags import (
    MLFLOW_DATASET_CONTEXT,
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NAME,
    MLFLOW_RUN_NOTE,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
)

from convscout.services.config.changes import FIXED
from convscout.services.config.study_config import StudyConfig
from convscout.services.config.study_ref import StudyRef
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.tracking.run_content import RunContent
from convscout.services.tracking.source import DESCRIPTION_NOTE, OutcomeMetrics, TrackedStudy
from convscout.services.tracking.tags import HOME_TAG, STUDY_TAG, TRIAL_TAG
from convscout.services.tracking.urls import study_page, trial_page
from convscout.trials.config import TrialState
from convscout.trials.end_reason import EndReason

EPOCH_METRIC = "epoch"  # its last value is the last epoch that MLflow has
FINISHED_METRIC = "trials_finished"  # its last value is how many finished trials the study's run counts
_PARAMS = (*FIXED, "data")
_SETTING_TAG = "config."  # begins the name of a setting that may change
_PASSING_TAGS = ("eager_reason", "reason_code")
STATUS = {
    TrialState.RUNNING: "RUNNING",
    TrialState.COMPLETED: "FINISHED",
    TrialState.STOPPED: "FINISHED",
    TrialState.FAILED: "FAILED",
}


def is_projected(record: TrialRecord) -> bool:
    """Whether the trial has a run: rejected and never committed proposals have none."""
    return record.plan is not None and record.state is not TrialState.REJECTED


def milliseconds(moment: datetime.datetime | None) -> int:
    """Since the epoch, as MLflow counts; 0 for an unknown moment."""
    return round(moment.timestamp() * 1000) if moment else 0


def trial_params(record: TrialRecord) -> dict[str, str]:
    """Every setting of the trial under its full name, as it was written: a later version may have more of them."""
    return {key: _text(value) for key, value in record.settings.items()}


def trial_tags(record: TrialRecord, ref: StudyRef, parent_id: str) -> dict[str, str]:
    """What identifies the trial and how it stands.

    What ledgers of older versions do not say is left out, so that their runs are as they should be.
    """
    last = record.measurements[-1] if record.measurements else None
    tags = {
        MLFLOW_PARENT_RUN_ID: parent_id,
        MLFLOW_RUN_NAME: f"#{record.number:04d} {record.family}",
        MLFLOW_RUN_NOTE: _link(
            f"Trial {record.number} of study {ref.name}", trial_page(ref.name, record.number)
        ),
        MLFLOW_SOURCE_NAME: "convscout",
        MLFLOW_SOURCE_TYPE: "LOCAL",
        **home_and_study(ref),
        TRIAL_TAG: str(record.number),
        "state": str(record.state),
        "family": record.family,
        "attempt": str(record.attempt),
        "precision": last.precision if last else "",
        "reason": record.reason,
    }
    if last and last.eager_reason:
        tags["eager_reason"] = last.eager_reason
    if record.reason_code is not EndReason.UNKNOWN:
        tags["reason_code"] = str(record.reason_code or "")
    return tags


def dataset_input(record: TrialRecord, config: StudyConfig) -> DatasetInput:
    """Which data the trial sees."""
    assert record.config is not None
    source = json.dumps({"data": config.data, "fingerprint": record.config.dataset})
    dataset = Dataset(
        name=config.data, digest=record.config.dataset[:12], source_type="convscout", source=source
    )
    return DatasetInput(dataset, tags=[InputTag(MLFLOW_DATASET_CONTEXT, "training")])


def trial_content(record: TrialRecord, ref: StudyRef, parent_id: str) -> RunContent:
    """All that the trial's run has to show."""
    params, figures = trial_params(record), fixed_metrics(record)
    if record.state is not TrialState.RUNNING or record.reopened:
        figures += final_metrics(record)
    return RunContent(
        tags=trial_tags(record, ref, parent_id),
        params=params,
        settings=params,
        passing_tags=_PASSING_TAGS,
        curves=epoch_metrics(record, after=0),
        figures=figures,
    )


def epoch_metrics(record: TrialRecord, after: int) -> list[Metric]:
    """The measurements of the epochs after epoch ``after``, an epoch's values side by side."""
    began = milliseconds(record.started_at)
    return [
        Metric(key=key, value=float(value), timestamp=began + round(1000 * m.elapsed_s), step=m.epoch)
        for m in record.measurements
        if m.epoch > after
        for key, value in m.to_dict().items()
        if key not in ("precision", "eager_reason")  # tags, since they are no numbers
    ]


def fixed_metrics(record: TrialRecord) -> list[Metric]:
    """What the candidate costs, known before it trains."""
    if record.complexity is None:
        return []
    began = milliseconds(record.started_at)
    values = {f"complexity.{key}": value for key, value in record.complexity.to_dict().items()}
    values |= {f"cost.{name}": value for name, value in record.costs.items()}
    return [Metric(key=key, value=float(value), timestamp=began, step=0) for key, value in values.items()]


def final_metrics(record: TrialRecord) -> list[Metric]:
    """What the trial is worth, at the epoch it was best.

    The step is its last epoch, so that a trial that was let go on after its end has the later values.
    """
    best = record.best
    if best is None or record.score is None:
        return []
    ended, last = milliseconds(record.finished_at), record.measurements[-1].epoch
    values = {"val_accuracy_best": best.val_accuracy, "epoch_best": best.epoch, "score": record.score}
    return [Metric(key=key, value=float(value), timestamp=ended, step=last) for key, value in values.items()]


def study_content(source: TrackedStudy, finished: Mapping[int, TrialRecord]) -> RunContent:
    """All that the study's own run has to show, beside the ``finished`` trials; their history is no part of it."""
    outcome = OutcomeMetrics.of(source)
    figures = progress_metrics(finished, after=len(finished) - 1)
    if outcome is not None:
        figures += outcome_metrics(outcome, finished)
    return RunContent(
        tags=study_tags(source),
        params=study_params(source),
        settings=_settings(source),
        passing_tags=(_SETTING_TAG,),
        curves=(),
        figures=figures,
    )


def study_params(source: TrackedStudy) -> dict[str, str]:
    """The settings that define the study: MLflow's params never change, so a study whose data moved has a new run."""
    return {key: value for key, value in _settings(source).items() if key in _PARAMS}


def study_tags(source: TrackedStudy) -> dict[str, str]:
    """What identifies the study, the settings that may change while it lasts, and its description."""
    settings = {f"{_SETTING_TAG}{k}": v for k, v in _settings(source).items() if k not in _PARAMS}
    return settings | {
        MLFLOW_RUN_NAME: source.name,
        MLFLOW_SOURCE_NAME: "convscout",
        MLFLOW_SOURCE_TYPE: "LOCAL",
        MLFLOW_RUN_NOTE: describe(source),
        **home_and_study(source.ref),
    }


def home_and_study(ref: StudyRef) -> dict[str, str]:
    """The tags that say whose an experiment or a run is."""
    return {STUDY_TAG: ref.name, **({HOME_TAG: ref.home.id} if ref.home.id else {})}


def describe(source: TrackedStudy) -> str:
    """The study's description as Markdown, with a link to its page."""
    description = source.note(DESCRIPTION_NOTE) or f"convscout study of {source.config.data}"
    return f"{description}\n\n{_link(f'Study {source.name}', study_page(source.name))}"


def plots_tag(records: Sequence[TrialRecord], report: bytes) -> str:
    """What plots of ``records`` and the pictures of a ``report`` show; with the same tag they look the same."""
    trained = [record for record in records if record.trained]
    final = sum(record.state is not TrialState.RUNNING for record in trained)
    epochs = sum(len(record.measurements) for record in trained)
    shown = f"{len(trained)} trials, {final} of them ended, {epochs} epochs"
    return f"{shown}, report {hashlib.sha256(report).hexdigest()[:8]}" if report else shown


def progress_metrics(records: Mapping[int, TrialRecord], after: int) -> list[Metric]:
    """The best validation accuracy after each finished trial, in the order they finished.

    ``records`` are final; the first ``after`` of them are left out.
    """
    metrics, best = [], 0.0
    in_order = sorted(records.values(), key=lambda r: (milliseconds(r.finished_at), r.number))
    for count, record in enumerate(in_order, start=1):
        if record.state.scored and record.best is not None:
            best = max(best, record.best.val_accuracy)
        if count > after:
            ended = milliseconds(record.finished_at)
            metrics += [
                Metric(key=key, value=float(value), timestamp=ended, step=count)
                for key, value in (("val_accuracy_best", best), (FINISHED_METRIC, count))
            ]
    return metrics


def outcome_metrics(outcome: OutcomeMetrics, records: Mapping[int, TrialRecord]) -> list[Metric]:
    """The ensemble's and the test split's metrics, as of the ``outcome``, beside the final ``records``."""
    ended = max((milliseconds(record.finished_at) for record in records.values()), default=0)
    return [
        Metric(key=key, value=float(value), timestamp=outcome.at_ms or ended, step=len(records))
        for key, value in outcome.values.items()
    ]


def _link(text: str, page: str) -> str:
    """Markdown that leads to a page of the service wherever that answers: MLflow is shown at the same address."""
    return f"[{text}]({page}) in `convscout serve`"


def _settings(source: TrackedStudy) -> dict[str, str]:
    """Those that the study keeps: what a later version has beside them was never decided for it."""
    kept = source.note("config")
    settings = source.config.to_dict()
    if kept is not None:
        settings = {key: value for key, value in settings.items() if key in kept}
    settings |= {f"space.{name}": override for name, override in settings.pop("space").items()}
    return {key: _text(value) for key, value in settings.items() if value is not None}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
