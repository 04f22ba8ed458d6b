"""What the ledger says of a study and its trials: whether it can be read, and makes sense."""

from __future__ import annotations

import math
from collections.abc import Iterator

from convscout.search_space.errors import ConvscoutError
from convscout.services.config.study_config import StudyConfig
from convscout.services.ledger.ledger import Ledger
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.studies.audits.finding import Finding, Remedy
from convscout.trials.config import TrialState

_UNREADABLE = (ConvscoutError, KeyError, TypeError, ValueError)
_FOREIGN = "install the plug-in or the version of convscout that wrote it, or restore a copy of the ledger"


def read_records(ledger: Ledger) -> tuple[list[TrialRecord], list[Finding]]:
    """The trials that can be read, and what is to be said of the others and of the study's settings."""
    records, found = [], []
    try:
        StudyConfig.from_options(ledger.config.to_dict())  # names of plug-ins, too
    except _UNREADABLE as error:
        found.append(Finding(where="settings", what=f"cannot be read: {error}", advice=_FOREIGN))
    numbers = ledger.numbers
    if numbers != list(range(len(numbers))):
        gap = next(expected for expected, number in enumerate(numbers) if expected != number)
        what = f"has no trial {gap}, though later ones"
        found.append(Finding(where="ledger", what=what, advice="restore a copy of the ledger"))
    for number in numbers:
        try:
            record = ledger.trial(number)
            _ = record.config  # which names what it needs of plug-ins
            records.append(record)
        except _UNREADABLE as error:
            what = f"cannot be read: {type(error).__name__}: {error}"
            found.append(Finding(where=f"trial {number}", what=what, advice=_FOREIGN, trial=number))
    return records, found


def audit_trial(record: TrialRecord, *, waiting: bool) -> Iterator[Finding]:
    """What is wrong with what the ledger says of one trial. ``waiting`` says that a resume would take it up."""
    where, restore = f"trial {record.number}", "restore a copy of the ledger"
    if record.plan is None:
        if record.state is TrialState.RUNNING and waiting:
            what = "was proposed and never committed"
            yield Finding(where=where, what=what, remedy=Remedy.REJECT, trial=record.number)
        return
    for what in _contradictions(record, record.plan["number"], record.epochs, waiting):
        yield Finding(where=where, what=what, advice=restore, trial=record.number)


def _contradictions(record: TrialRecord, number: int, epochs: int, waiting: bool) -> Iterator[str]:
    if number != record.number:
        yield f"has the configuration of trial {number}"
    if record.attempt < 1:
        yield f"is at attempt {record.attempt}; attempts count from 1"
    seen = [measurement.epoch for measurement in record.measurements]
    if seen != list(range(1, len(seen) + 1)):
        yield f"has the epochs {', '.join(map(str, seen))}; one is missing"
    if len(seen) > epochs:
        yield f"has {len(seen)} epochs of {epochs}"
    if record.state is TrialState.COMPLETED and len(seen) < epochs:
        yield f"is completed, but has {len(seen)} of its {epochs} epochs"
    if record.state.scored and record.score is not None and not math.isfinite(record.score):
        yield f"has the score {record.score}"
    if record.state is TrialState.RUNNING and not waiting:
        yield "is neither running nor ended"
