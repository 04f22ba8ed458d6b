"""Check: whether a study is as it should be: ledger, files, export and MLflow. It reads and never writes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from convscout.services.config.study_ref import StudyRef
from convscout.services.ledger.lease import holder
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies.audits.files import audit_checkpoints, audit_directories, audit_leftovers
from convscout.services.studies.audits.finding import Finding, Remedy
from convscout.services.studies.audits.home import audit_home
from convscout.services.studies.audits.ledger import audit_trial, read_records
from convscout.services.studies.audits.publication import audit_export
from convscout.services.studies.outcome import load_outcome
from convscout.services.tracking.audit import disagreements
from convscout.services.tracking.store import TRACKING_ERRORS, TrackingStore
from convscout.trials.checkpoints.trial_directory import TrialDirectory

SECOND_LOOK_S = 3.0  # longer than anything takes that is half done for a moment while a study runs


def check(ref: StudyRef) -> list[Finding]:
    """What is wrong with the study called ``name``; nothing, if all is well.

    While a process runs it, what is under way looks wrong for a moment: only what a second look confirms is told,
    and MLflow, which follows at its own pace, is left out. Raises ``StudyNotFoundError``.
    """
    found, running = _look(ref)
    if not (running and found):
        return found
    time.sleep(SECOND_LOOK_S)
    confirmed, _ = _look(ref)
    return [finding for finding in found if finding in confirmed]


def audit(
    ledger: Ledger, directories: Iterable[Path], *, running: bool, settled: bool = True
) -> Iterator[Finding]:
    """What is wrong with the study of ``ledger``, whose trials had these ``directories`` before it was opened.

    MLflow is left out unless the home is ``settled``: every run would look for its artifacts in another one.
    """
    study = ledger.ref.directory
    records, unreadable = read_records(ledger)
    yield from unreadable
    unfinished = {record.number for record in records if ledger.is_unfinished(record.number)}
    for record in records:
        yield from audit_trial(record, waiting=record.number in unfinished)
        yield from audit_checkpoints(record, TrialDirectory(ledger.ref.trial(record.number)))
    yield from audit_directories(directories, ledger.numbers)
    if not running:
        yield from audit_leftovers(study)
    if outcome := load_outcome(ledger):
        yield from audit_export(outcome)
    if settled and not running and not unreadable:
        yield from audit_tracking(ledger)


def audit_tracking(ledger: Ledger) -> Iterator[Finding]:
    """Where MLflow differs from the ledger."""
    store = TrackingStore.at(ledger.home)
    try:
        for difference in disagreements(ledger, store):
            yield Finding(where="MLflow", what=difference.text, remedy=Remedy.SYNC, trial=difference.trial)
    except TRACKING_ERRORS as error:
        what = f"{store.uri} does not answer: {next(iter(str(error).splitlines()), '')}"
        advice = f"start the server, or move a damaged database away; then: convscout sync {ledger.name}"
        yield Finding(where="MLflow", what=what, advice=advice)


def trial_directories(ref: StudyRef) -> list[Path]:
    """Of the study called ``name``, whether or not the ledger knows the trials."""
    return sorted(path for path in (ref.directory / "trials").glob("*") if path.is_dir())


def _look(ref: StudyRef) -> tuple[list[Finding], bool]:
    """What one look finds, and whether a process ran the study at its beginning or end."""
    directories = trial_directories(ref)  # before the ledger, which knows a trial before it has one
    ledger = Ledger.open(ref)
    running = ledger.holder is not None
    found = list(audit_home(ref.home))
    found += audit(ledger, directories, running=running, settled=not found)
    return found, running or holder(ref) is not None
