"""What is kept in MLflow besides numbers: settings and plots of a final trial, plots and a table of a study."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from convscout.services.config.home import EVALUATION_FILE
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.plotting.answers import confusion
from convscout.services.plotting.writing import write_plots, write_table
from convscout.services.tracking import plots
from convscout.services.tracking.projection import plots_tag
from convscout.services.tracking.source import TrackedStudy, ValidationLabels
from convscout.trials.checkpoints.trial_directory import TrialDirectory


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
        figure = confusion(best.probabilities.numpy(), validation.labels, validation.class_names, title)
        figure.savefig(target / "confusion_matrix.png", dpi=80)


def study_tag(source: TrackedStudy, records: Sequence[TrialRecord]) -> str:
    """What ``write_study_artifacts`` would show now."""
    file = source.ref.report / EVALUATION_FILE
    return plots_tag(records, file.read_bytes() if file.exists() else b"")


def write_study_artifacts(source: TrackedStudy, records: Sequence[TrialRecord], target: Path) -> None:
    """Write the plots of a study, as far as its trials suffice, its table and its report, if any, to ``target``."""
    write_plots(source.name, records, target / "plots")
    write_table(records, target)
    report = source.ref.report
    if report.is_dir():
        shutil.copytree(report, target / "report")
