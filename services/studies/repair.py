"""Repair: mends what ``check`` finds. Only who holds the study may."""

from __future__ import annotations

from convscout.search_space.errors import ConvscoutError
from convscout.services.config.study_ref import StudyRef
from convscout.services.events.events import Listener, Notice
from convscout.services.ledger.ledger import Ledger
from convscout.services.search.crash_cleanup import remove, sweep
from convscout.services.studies import session
from convscout.services.studies.audits.finding import Finding, Remedy
from convscout.services.studies.audits.home import audit_home
from convscout.services.studies.check import audit, audit_tracking, trial_directories
from convscout.services.studies.finish import Finish
from convscout.services.studies.outcome import load_outcome
from convscout.services.system.directories import replacing
from convscout.services.tracking.rebuild import rebuild
from convscout.services.tracking.source import ValidationLabels
from convscout.services.tracking.store import TrackingStore
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.config import TrialState
from convscout.trials.data.splits import DataSplits
from convscout.trials.end_reason import EndReason


def repair(ref: StudyRef, listener: Listener) -> list[Finding]:
    """Mend what is wrong with the study called ``name``; returns what was found and has a remedy.

    A trial whose best epoch is lost becomes unfinished: the next resume trains it again from its beginning, under
    its number, and what it reported stays. Raises ``StudyLockedError`` while a process runs the study.
    """
    Ledger.require(ref)
    settled = list(audit_home(ref.home))  # which whoever owns a study does first
    with session.own(ref, listener) as ledger:
        directories = trial_directories(ref)
        found = [each for each in audit(ledger, directories, running=False) if each.remedy is not Remedy.NONE]
        _Repair(ledger, listener).mend(found)
    return [*settled, *found]


class _Repair:
    """Does what the remedies say, for one study."""

    def __init__(self, ledger: Ledger, listener: Listener) -> None:
        self._ledger = ledger
        self._listener = listener
        self._splits: DataSplits | None = None

    def mend(self, found: list[Finding]) -> None:
        """All of ``found``, remedy by remedy; MLflow last, which follows the ledger."""
        sweep(self._ledger.ref.directory)  # which puts an export back that was being replaced
        needed = {each.remedy for each in found}
        for finding in found:
            self._mend_one(finding)
        if Remedy.EXPORT in needed:
            self._export()
        if list(audit_tracking(self._ledger)):
            self._sync()

    def _mend_one(self, finding: Finding) -> None:
        ledger, number = self._ledger, finding.trial
        match finding.remedy:
            case Remedy.REMOVE:
                assert finding.path is not None
                remove(finding.path)
            case Remedy.CLOSE:
                assert number is not None
                stopped = ledger.trial(number).state is TrialState.STOPPED
                TrialDirectory(ledger.ref.trial(number)).close(resumable=stopped)
            case Remedy.REJECT:
                assert number is not None
                ledger.reject(number, EndReason.UNCOMMITTED, "was never committed")
            case Remedy.RETRAIN:
                assert number is not None
                TrialDirectory(ledger.ref.trial(number)).discard_epochs()
                ledger.retrain(number)

    def _export(self) -> None:
        outcome = load_outcome(self._ledger)
        assert outcome is not None
        finish = Finish(self._ledger, self._data, self._listener)
        try:
            with replacing(outcome.export) as fresh:
                finish.export(fresh)
        except ConvscoutError as error:
            self._listener(Notice(text=f"the export waits for the next resume: {error.message}"))

    def _sync(self) -> None:
        rebuild(self._ledger, TrackingStore.at(self._ledger.home), ValidationLabels.of(self._data))

    @property
    def _data(self) -> DataSplits:
        if self._splits is None:
            self._splits = session.same_data(self._ledger, self._ledger.config, self._listener)
        return self._splits
