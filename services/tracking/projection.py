"""How a study and its trials read in MLflow: pure functions from the ledger's values to MLflow's entities.

Every timestamp is derived from the ledger, never from the clock, so that logging a value twice is
logging it once: MLflow's stores keep one of equal (key, step, timestamp, value).
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

from services.config import StudyConfig
from services.extension import FIXED
from services.tracking.pages import study_page, trial_page
from services.tracking.source import DESCRIPTION_NOTE, Source
from services.tracking.tags import STUDY_TAG, TRIAL_TAG
from services.trial_record import TrialRecord
from trials.config import TrialState

EPOCH_METRIC = "epoch"  # its last value is the last epoch that MLflow has
FINISHED_METRIC = "trials_finished"  # its last value is how many finished trials the study's run counts
FINAL_METRICS = frozenset({"val_accuracy_best", "epoch_best", "score"})  # logged when a trial ends
STATUS = {
    TrialState.RUNNING: "RUNNING",
    TrialState.COMPLETED: "FINISHED",
    TrialState.STOPPED: "FINISHED",
    TrialState.FAILED: "FAILED",
}


def is_projected(record: TrialRecord) -> bool:
    """Whether the trial has a run: rejected and never committed proposals have none."""
    return record.config is not None and record.state is not TrialState.REJECTED


def milliseconds(moment: datetime.datetime | None) -> int:
    """Since the epoch, as MLflow counts; 0 for an unknown moment."""
    return round(moment.timestamp() * 1000) if moment else 0


def trial_params(record: TrialRecord) -> dict[str, str]:
    """Every setting of the trial under its full name."""
    assert record.config is not None
    return {key: _text(value) for key, value in record.config.flat().items()}


def trial_tags(record: TrialRecord, study: str, parent_id: str) -> dict[str, str]:
    """What identifies the trial and how it stands."""
    return {
        MLFLOW_PARENT_RUN_ID: parent_id,
        MLFLOW_RUN_NAME: f"#{record.number:04d} {record.family}",
        MLFLOW_RUN_NOTE: _link(f"Trial {record.number} of study {study}", trial_page(study, record.number)),
        MLFLOW_SOURCE_NAME: "convscout",
        MLFLOW_SOURCE_TYPE: "LOCAL",
        STUDY_TAG: study,
        TRIAL_TAG: str(record.number),
        "state": str(record.state),
        "family": record.family,
        "attempt": str(record.attempt),
        "precision": record.measurements[-1].precision if record.measurements else "",
        "reason": record.reason,
    }


def dataset_input(record: TrialRecord, config: StudyConfig) -> DatasetInput:
    """Which data the trial sees."""
    assert record.config is not None
    source = json.dumps({"data": config.data, "fingerprint": record.config.dataset})
    dataset = Dataset(
        name=config.data, digest=record.config.dataset[:12], source_type="convscout", source=source
    )
    return DatasetInput(dataset, tags=[InputTag(MLFLOW_DATASET_CONTEXT, "training")])


def epoch_metrics(record: TrialRecord, after: int) -> list[Metric]:
    """The measurements of the epochs after epoch ``after``, an epoch's values side by side."""
    began = milliseconds(record.started_at)
    return [
        Metric(key=key, value=float(value), timestamp=began + round(1000 * m.elapsed_s), step=m.epoch)
        for m in record.measurements
        if m.epoch > after
        for key, value in m.to_dict().items()
        if key != "precision"  # a tag, since it is no number
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


def study_params(config: StudyConfig) -> dict[str, str]:
    """The settings that define the study: MLflow's params never change."""
    return {key: value for key, value in _settings(config).items() if key in FIXED}


def study_tags(source: Source) -> dict[str, str]:
    """What identifies the study, the settings that may change while it lasts, and its description."""
    settings = {f"config.{k}": v for k, v in _settings(source.config).items() if k not in FIXED}
    return settings | {
        MLFLOW_RUN_NAME: source.name,
        MLFLOW_SOURCE_NAME: "convscout",
        MLFLOW_SOURCE_TYPE: "LOCAL",
        MLFLOW_RUN_NOTE: described(source),
        STUDY_TAG: source.name,
    }


def described(source: Source) -> str:
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

    ``records`` are final; the first ``after`` of them are left out, but never the last, which may have changed.
    """
    metrics, best = [], 0.0
    in_order = sorted(records.values(), key=lambda r: (milliseconds(r.finished_at), r.number))
    for count, record in enumerate(in_order, start=1):
        if record.state.judged and record.best is not None:
            best = max(best, record.best.val_accuracy)
        if count > after or count == len(in_order):
            ended = milliseconds(record.finished_at)
            metrics += [
                Metric(key=key, value=float(value), timestamp=ended, step=count)
                for key, value in (("val_accuracy_best", best), (FINISHED_METRIC, count))
            ]
    return metrics


def outcome_metrics(values: Mapping[str, float], records: Mapping[int, TrialRecord]) -> list[Metric]:
    """The ensemble's and the test split's metrics, as of the last of the final ``records``."""
    ended = max((milliseconds(record.finished_at) for record in records.values()), default=0)
    return [
        # the step lets the outcome of a study that was continued replace the earlier one
        Metric(key=key, value=float(value), timestamp=ended, step=len(records))
        for key, value in values.items()
    ]


def _link(text: str, page: str) -> str:
    """Markdown that leads to a page of the service wherever that answers: MLflow is shown at the same address."""
    return f"[{text}]({page}) in `convscout serve`"


def _settings(config: StudyConfig) -> dict[str, str]:
    settings = config.to_dict()
    settings |= {f"space.{name}": override for name, override in settings.pop("space").items()}
    return {key: _text(value) for key, value in settings.items() if value is not None}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
