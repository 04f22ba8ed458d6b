"""What is kept in MLflow of a final trial besides numbers: settings and plots."""

from __future__ import annotations

import json
from pathlib import Path

from services.study import TrialRecord
from services.tracking import plots
from services.tracking.source import ValidationLabels
from trials.checkpoint import TrialDirectory


def write_artifacts(
    record: TrialRecord, trial: TrialDirectory, validation: ValidationLabels | None, target: Path
) -> None:
    """Write the trial's settings, learning curve and confusion matrix, as far as there are any, to ``target``."""
    assert record.config is not None
    (target / "config.json").write_text(json.dumps(record.config.to_dict(), indent=2))
    title = f"trial {record.number}, {record.family}"
    if record.measurements:
        plots.learning_curve(record.measurements, title).savefig(target / "learning_curve.png", dpi=80)
    if validation is None or not record.measurements:
        return
    best = trial.load_best()
    if best is not None:
        title = f"{title}: validation, epoch {best.epoch}"
        figure = plots.confusion(best.probabilities.numpy(), validation.labels, validation.class_names, title)
        figure.savefig(target / "confusion_matrix.png", dpi=80)
