"""The trials of a study as a CSV file: a row a trial, a column a knob."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from convscout.services.ledger.trial_record import TrialRecord

FACTS = (
    "number",
    "family",
    "state",
    "objective",
    "score",
    "val_accuracy",
    "best_epoch",
    "epochs",
    "params",
    "flops",
    "training_s",
    "reason",
)


def write_trials(records: Sequence[TrialRecord], path: Path) -> None:
    """Write what is known of each trial, and then every setting under its full name, empty where it has none."""
    settings = {record.number: record.settings for record in records}
    names = sorted({name for each in settings.values() for name in each if name not in FACTS})
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, [*FACTS, *names], extrasaction="ignore", lineterminator="\n")
        rows.writeheader()
        for record in records:
            rows.writerow(settings[record.number] | _facts(record))


def _facts(record: TrialRecord) -> dict[str, object]:
    best = record.best
    return {
        "number": record.number,
        "family": record.family,
        "state": str(record.state),
        "objective": record.quality.name,
        "score": "" if record.score is None else record.score,
        "val_accuracy": best.val_accuracy if best else "",
        "best_epoch": best.epoch if best else "",
        "epochs": len(record.measurements),
        "params": record.complexity.params if record.complexity else "",
        "flops": record.complexity.flops if record.complexity else "",
        "training_s": record.measurements[-1].elapsed_s if record.measurements else "",
        "reason": record.reason,
    }
