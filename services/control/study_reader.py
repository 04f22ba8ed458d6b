"""StudyReader: one study as it stands now, followed through its ledger and its event log, whoever runs it."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from functools import cached_property

from convscout.search_space.errors import StudyNotFoundError, UnknownNameError
from convscout.services.config.home import Home
from convscout.services.config.study_ref import StudyRef
from convscout.services.control.importances import ImportanceCache
from convscout.services.events.event_log import (
    RUN_ENDED,
    RUN_STARTED,
    Entry,
    entries,
    event_log_bytes,
    event_log_path,
    last_run,
)
from convscout.services.events.facts import event_of
from convscout.services.events.progress import StudyProgress
from convscout.services.ledger.ledger import Ledger
from convscout.services.ledger.ranking import rank
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.plotting.view import StudyView
from convscout.trials.config import TrialState

GLANCE_S = 0.5  # so that many who ask at once share one look


class StudyReader:
    """A study called ``name``, perhaps one that has no ledger yet. Usable from several threads.

    ``progress`` is what the events of its latest run add up to, ``held`` whether a process runs it, ``ended`` how that
    run ended, None while it has not.
    """

    def __init__(self, ref: StudyRef) -> None:
        self.ref = ref
        self.ledger: Ledger | None = None
        self.held = False
        self.ended: Entry | None = None
        self.importances = ImportanceCache()
        self._at: float | None = None  # the moment of the event that is taken in, while one is
        self.progress = StudyProgress(self._clock)
        self.began_at: float | None = None  # the latest run, in seconds since 1970
        self._file = event_log_path(ref)
        self._position: int | None = None
        self._size = 0  # of the event log at the last look
        self._looked_at = -GLANCE_S
        self._one_at_a_time = threading.Lock()
        self._snapshot = StudySnapshot([])

    def look(self) -> StudySnapshot:
        """The trials as they are now, once what has happened since the last look was taken in.

        Of a process that has ended all is taken in that it said.
        """
        with self._one_at_a_time:
            held = self._is_held()  # before anything is read: what a process said, it said while it lived
            size = event_log_bytes(self._file)
            glanced = time.monotonic() - self._looked_at < GLANCE_S
            if not (glanced and held == self.held and (held or size == self._size)):
                if self._read_ledger():
                    self._snapshot = StudySnapshot(self.ledger.trials() if self.ledger else [])
                self._read_event_log(size)
                self.held = held or self._is_held()  # by one that we had not known of
                self._size = size
                self._looked_at = time.monotonic()
            return self._snapshot

    @property
    def pausing(self) -> bool:
        """Whether the process that runs the study has said that it is about to pause."""
        return self.ended is None and self.progress.pausing

    @property
    def elapsed_s(self) -> float:
        """How long the study has run, over all its runs; one that is running counts up to now."""
        runs = (self.ledger.note("runs") if self.ledger else None) or []
        spent_s = sum(seen - started for started, seen in runs)
        if self.held and runs:
            spent_s += time.time() - runs[-1][1]
        return float(spent_s)

    def _read_ledger(self) -> bool:
        """Look at the ledger; returns whether it is another than before."""
        if self.ledger is None:
            with suppress(StudyNotFoundError):
                self.ledger = Ledger.open(self.ref, even_deleted=True)
            return self.ledger is not None
        try:
            return self.ledger.refresh()
        except StudyNotFoundError:
            self.ledger = None
            return True

    def _is_held(self) -> bool:
        return self.ledger is not None and self.ledger.holder is not None

    def _read_event_log(self, size: int) -> None:
        """Take in what is new in the first ``size`` bytes; what came later the ledger that was read does not know."""
        if self._position is None or self._position > size:
            self._position = last_run(self._file)
        for entry in entries(self._file, self._position):
            if entry.end > size:
                break
            self._position = entry.end
            self._at = entry.at
            try:
                self._take(entry)
            finally:
                self._at = None

    def _take(self, entry: Entry) -> None:
        if entry.kind == RUN_STARTED:
            self.progress, self.ended, self.began_at = StudyProgress(self._clock), None, entry.at
        elif entry.kind == RUN_ENDED:
            self.ended = entry
        elif self.ledger or "trial" not in entry.facts:
            with suppress(UnknownNameError):  # of a study of the same name that there was before
                event = event_of(entry.kind, entry.facts, self._trial)
                if event:
                    self.progress.apply(event)

    def _trial(self, number: int) -> TrialRecord:
        assert self.ledger is not None
        return self.ledger.trial(number)

    def _clock(self) -> float:
        return time.time() if self._at is None else self._at


class StudySnapshot:
    """The trials of a study at one moment; what several questions need of them is computed once."""

    def __init__(self, trials: list[TrialRecord]) -> None:
        self.trials = trials

    @cached_property
    def ranking(self) -> list[TrialRecord]:
        """Those with a score that counts, the best first; running ones take part."""
        counting = [
            record
            for record in self.trials
            if record.best and (record.state.scored or record.state is TrialState.RUNNING)
        ]
        return rank(counting)

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many there are in each state."""
        found: dict[str, int] = {}
        for record in self.trials:
            found[str(record.state)] = found.get(str(record.state), 0) + 1
        return found

    @cached_property
    def did_not_fit(self) -> int:
        """How many of the rejected ones were only too large for what was left of the budgets."""
        return sum(record.did_not_fit for record in self.trials)

    @cached_property
    def view(self) -> StudyView:
        """What plots and importances are made from."""
        return StudyView(self.trials)


class Readers:
    """The readers of the studies of ``home``, each made when it is first asked for and kept."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._readers: dict[str, StudyReader] = {}
        self._one_at_a_time = threading.Lock()

    def of(self, name: str) -> StudyReader:
        """The reader of the study called ``name``, whether or not there is one."""
        with self._one_at_a_time:
            if name not in self._readers:
                self._readers[name] = StudyReader(self._home.study(name))
            return self._readers[name]

    def forget(self, name: str) -> None:
        """Keep nothing of a study that is gone."""
        with self._one_at_a_time:
            self._readers.pop(name, None)
