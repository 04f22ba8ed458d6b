"""Projector: brings MLflow up to date with a study's ledger, trial by trial; ``sync``: all of it, once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.exceptions import MlflowException

from convscout.search_space.errors import ConvscoutError
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.tracking.mirror import one_line
from convscout.services.tracking.projection import is_projected
from convscout.services.tracking.runs import StudyRuns
from convscout.services.tracking.source import TrackedStudy, ValidationLabels
from convscout.services.tracking.store import TrackingStore
from convscout.trials.config import TrialState


def sync(source: TrackedStudy, store: TrackingStore, validation: ValidationLabels | None = None) -> int:
    """Bring all of MLflow up to date with a study that is not running; returns how many runs were behind.

    Raises ``ConvscoutError`` when the store does not answer.
    """
    projector = Projector(source, store, validation)
    try:
        behind = [record for record in projector.read_ledger() if not projector.is_current(record)]
        for record in behind:
            projector.update_trial(record.number)
        projector.update_study(active=False)
        projector.update_plots()
    except MlflowException as error:
        raise ConvscoutError(
            f"the tracking store {store.uri} failed: {one_line(error)}",
            next_command=f"convscout sync {source.name}",
        ) from error
    return len(behind)


class Projector:
    """Brings MLflow up to date, trial by trial; looks at MLflow afresh after any error."""

    def __init__(
        self, source: TrackedStudy, store: TrackingStore, validation: ValidationLabels | None = None
    ) -> None:
        self._source = source
        self._store = store
        self._validation = validation
        self._runs: StudyRuns | None = None
        self._finished: dict[int, TrialRecord] = {}

    def read_ledger(self) -> list[TrialRecord]:
        """All trials that have or need a run."""
        records = [record for record in self._source.trials() if is_projected(record)]
        for record in records:
            self._remember(record)
        return records

    def is_current(self, record: TrialRecord) -> bool:
        """Whether MLflow has the trial in its final form."""
        with self._open() as runs:
            return runs.is_current(record)

    def update_trial(self, number: int) -> bool:
        """Bring one trial's run up to date; returns whether the trial is final."""
        record = self._source.trial(number)
        if not is_projected(record):
            return False
        with self._open() as runs:
            runs.update_trial(record)
        self._remember(record)
        return record.number in self._finished

    def update_study(self, *, active: bool) -> None:
        """Bring the study's own run up to date; ``active`` says whether a search is under way."""
        with self._open() as runs:
            runs.update_study(self._finished, active=active)

    def update_plots(self) -> None:
        """Bring the study's plots and its table up to date."""
        with self._open() as runs:
            runs.update_plots()

    @contextmanager
    def _open(self) -> Iterator[StudyRuns]:
        if self._runs is None:
            self._runs = StudyRuns(self._source, self._store, self._validation)
        try:
            yield self._runs
        except BaseException:
            self._runs = None  # what it believes of MLflow may be wrong now
            raise

    def _remember(self, record: TrialRecord) -> None:
        if record.state is not TrialState.RUNNING:
            self._finished[record.number] = record
        else:
            self._finished.pop(record.number, None)  # it goes on after it had ended
