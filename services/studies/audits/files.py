"""The files of a study: whether all that the ledger counts on is there and whole, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.search.crash_cleanup import leftovers
from convscout.services.studies.audits.finding import Finding, Remedy
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.config import TrialState


def audit_leftovers(study: Path) -> Iterator[Finding]:
    """What killed processes left behind; of a study that nobody runs."""
    for path in leftovers(study):
        where = str(path.relative_to(study))
        yield Finding(where=where, what="is a leftover of a killed process", remedy=Remedy.REMOVE, path=path)


def audit_directories(directories: Iterable[Path], numbers: Iterable[int]) -> Iterator[Finding]:
    """``directories`` of trials whose ``numbers`` the ledger does not know: a later trial must not go on from them."""
    known = {f"{number:05d}" for number in numbers}
    for path in directories:
        if path.name not in known:
            what = "belongs to no trial of the ledger"
            yield Finding(where=f"trials/{path.name}", what=what, remedy=Remedy.REMOVE, path=path)


def audit_checkpoints(record: TrialRecord, directory: TrialDirectory) -> Iterator[Finding]:
    """Checkpoints of a trial that are damaged, missing or no longer needed."""
    where = f"trial {record.number}"
    for path, whole in directory.inspect().items():
        if not whole:
            what = f"{path.name} does not match its hash"
            yield Finding(where=where, what=what, remedy=Remedy.REMOVE, trial=record.number, path=path)
    if record.state is TrialState.RUNNING:
        return
    if directory.claimed or (record.state is not TrialState.STOPPED and directory.resumable):
        what = f"is {record.state}, but its directory is open to further epochs"
        yield Finding(where=where, what=what, remedy=Remedy.CLOSE, trial=record.number)
    if record.state.scored and record.best and not _keeps_best(record, directory):
        what = f"its best epoch, {record.best.epoch}, is not kept whole, so no ensemble can use it"
        yield Finding(where=where, what=what, remedy=Remedy.RETRAIN, trial=record.number)


def _keeps_best(record: TrialRecord, directory: TrialDirectory) -> bool:
    # the directory first: retention says that it discards before it does
    kept = directory.best_epoch
    if kept is None:
        return directory.discarded
    # one that was trained again, perhaps on another machine, may have another best epoch
    return bool(record.reopened or (record.best and kept >= record.best.epoch))
