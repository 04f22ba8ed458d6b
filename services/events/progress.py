"""StudyProgress: the sum of the events of a running study, for displays and the control plane."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from functools import singledispatchmethod

from convscout.services.events.events import (
    BudgetsSpent,
    EpochEnded,
    Event,
    Loading,
    Notice,
    PauseStarted,
    PhaseStarted,
    SearchStarted,
    Spending,
    TrialEnded,
    TrialEstimated,
    TrialStarted,
)
from convscout.services.ledger.ranking import rank
from convscout.services.ledger.trial_record import TrialRecord
from convscout.trials.config import Measurement, TrialState

NUM_NOTICES = 3


class StudyProgress:
    """The state of a study by its events so far. ``clock`` gives seconds; only differences matter."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._search_began = self._began
        self.search: SearchStarted | None = None
        self.phase: PhaseStarted | None = None
        self.loading: Loading | None = None
        self.running: dict[int, TrialRecord] = {}
        self.ended: list[TrialRecord] = []  # in the order they ended
        self.spendings: tuple[Spending, ...] = ()
        self.notices: list[str] = []
        self.pausing = False
        self._pace: dict[int, Measurement] = {}
        self._epochs: dict[int, tuple[float, float]] = {}  # seconds an epoch, and when the latest began

    @singledispatchmethod
    def apply(self, event: Event) -> None:
        """Take an event into account."""
        raise TypeError(f"no such event: {event!r}")

    @apply.register
    def _(self, event: Loading) -> None:
        self.loading = event

    @apply.register
    def _(self, event: PhaseStarted) -> None:
        self.phase = event
        self.loading = None

    @apply.register
    def _(self, event: Notice) -> None:
        self.notices = [*self.notices, event.text][-NUM_NOTICES:]

    @apply.register
    def _(self, event: PauseStarted) -> None:
        self.pausing = True
        self.notices = [*self.notices, event.text][-NUM_NOTICES:]

    @apply.register
    def _(self, event: BudgetsSpent) -> None:
        self.spendings = event.spendings

    @apply.register
    def _(self, event: SearchStarted) -> None:
        self.search = event
        self.phase = self.loading = None
        self._search_began = self._clock()

    @apply.register
    def _(self, event: TrialStarted) -> None:
        self.running[event.trial.number] = event.trial
        if event.epoch_s is not None:
            self._epochs[event.trial.number] = event.epoch_s, self._clock()

    @apply.register
    def _(self, event: TrialEstimated) -> None:
        _, began = self._epochs.get(event.trial.number, (None, self._clock()))
        self._epochs[event.trial.number] = event.epoch_s, began

    @apply.register
    def _(self, event: EpochEnded) -> None:
        number, latest = event.trial.number, event.measurement
        self.running[number] = event.trial
        self._pace[number] = latest
        self._epochs[number] = latest.elapsed_s / latest.epoch, self._clock()

    @apply.register
    def _(self, event: TrialEnded) -> None:
        self.running.pop(event.trial.number, None)
        self._pace.pop(event.trial.number, None)
        self._epochs.pop(event.trial.number, None)
        self.ended.append(event.trial)

    @property
    def elapsed_s(self) -> float:
        """Seconds since this was made."""
        return self._clock() - self._began

    @property
    def left_s(self) -> float | None:
        """Seconds that remain of the whole command, or None when its time is not bounded."""
        if self.search is None or self.search.deadline_s is None:
            return None
        return max(0.0, self.search.deadline_s - (self._clock() - self._search_began))

    @property
    def eta_s(self) -> float | None:
        """Estimated seconds until the last trial ends, at the pace so far, or None when nothing bounds it yet."""
        bounds = [self.left_s, *(each.eta_s for each in self.spendings)]
        trained = sum(trial.trained for trial in self.ended)  # only these count against the budget
        if self.search and self.search.trials is not None and trained:
            remaining = max(0, self.search.trials - self.search.finished - trained)
            bounds.append((self._clock() - self._search_began) / trained * remaining)
        return min((bound for bound in bounds if bound is not None), default=None)

    def trial_eta_s(self, trial: TrialRecord) -> float | None:
        """Estimated seconds until a running trial has trained all its epochs, None while nothing tells."""
        if trial.number not in self._epochs or trial.plan is None:
            return None
        epoch_s, began = self._epochs[trial.number]
        done = trial.measurements[-1].epoch if trial.measurements else 0
        missing_s = epoch_s * (trial.planned_epochs - done) - (self._clock() - began)
        left_s = math.inf if self.left_s is None else self.left_s  # with which its schedule ends
        return max(0.0, min(missing_s, left_s))

    @property
    def images_per_s(self) -> float:
        """What all running trials train together."""
        return sum(self._pace[number].images_per_s for number in self.running if number in self._pace)

    @property
    def ranking(self) -> list[TrialRecord]:
        """Trials with a validation score, best first; failed ones do not count."""
        return rank(trial for trial in [*self.ended, *self.running.values()] if _counts(trial))

    @property
    def counts(self) -> Counter[TrialState]:
        """Trials that ended in this run, by state."""
        return Counter(trial.state for trial in self.ended)


def _counts(trial: TrialRecord) -> bool:
    return trial.best is not None and (trial.state.scored or trial.state is TrialState.RUNNING)
