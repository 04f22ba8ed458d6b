"""The ladder of milestones: when each accuracy was first passed, and by what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from convscout.services.evaluation.score_rows import REFITTED, SINGLE
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.report.document import Section, Table, Text
from convscout.services.report.facts import StudyFacts
from convscout.trials.config import TrialState

MARKS = (0.20, 0.50, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95, 0.98, 0.99)


@dataclass(frozen=True, kw_only=True)
class Passed:
    """``mark``, and the first epoch whose validation accuracy was above it, ``moment`` after the search began."""

    mark: float
    moment: float
    trial: TrialRecord
    epoch: int


def find_passed(known: StudyFacts) -> Iterator[Passed]:
    """The marks that were passed on validation images, the lowest first."""
    epochs = [
        (known.view.time.of_epoch(record, measured.elapsed_s), measured.val_accuracy, record, measured.epoch)
        for record in known.view.records
        if record.state is not TrialState.FAILED
        for measured in record.measurements
    ]
    for mark in MARKS:
        above = [each for each in epochs if each[1] >= mark]
        if not above:
            return
        moment, _, record, epoch = min(above, key=lambda each: (each[0], each[2].number))
        yield Passed(mark=mark, moment=moment, trial=record, epoch=epoch)


def milestones(known: StudyFacts) -> Section | None:
    """Each mark: when validation passed it, and who reaches it on the test images."""
    found = list(find_passed(known))
    tested = [row for row in known.outcome.report if row.split == "test"] if known.outcome else []
    if not found:
        return None
    by_mark = {each.mark: each for each in found}
    rows = []
    for mark in MARKS:
        reach = [row.name for row in tested if row.accuracy >= mark]
        if mark not in by_mark and not reach:
            break
        first = by_mark.get(mark)
        rows.append(
            [
                f"{mark:.0%}",
                f"{first.moment:.1f}" if first else "never",
                f"trial {first.trial.number}, {first.trial.family}, epoch {first.epoch}" if first else "",
                _reach(reach, len(tested)),
            ]
        )
    unit = known.view.time.unit
    columns = ["accuracy", f"on validation after ({unit})", "first by", "on test images"]
    text = (
        "When a single network first passed each mark on validation images, and what reaches it on test images. Single "
        "networks but the best were never judged on those."
    )
    return Section("Milestones", [Text(text), Table(columns=columns, rows=rows, right=columns[:2])])


def _reach(names: list[str], of: int) -> str:
    if not of:
        return "not opened yet"
    if len(names) == of:
        return "all"
    ordered = sorted(names, key=lambda name: (name not in (REFITTED, SINGLE), name))
    return ", ".join(ordered) or "none"
