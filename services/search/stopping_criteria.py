"""StoppingCriteria: what a study was granted beside its time, and how much of that its trials have spent.

All of it is counted from the ledger, so it holds across restarts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from convscout.services.config.study_config import StudyConfig
from convscout.services.config.units import format_clock
from convscout.services.events.events import Spending
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.search.convergence import LEAST_TRIALS, Outlook, outlook
from convscout.trials.config import TrialState
from convscout.trials.end_reason import EndReason


@dataclass(frozen=True, kw_only=True)
class _Spent:
    """By one trial: epochs trained, and to be trained in all; GPU time."""

    epochs: int
    planned: int
    gpu_s: float


_NOTHING = _Spent(epochs=0, planned=0, gpu_s=0.0)


class StoppingCriteria:
    """Epochs, GPU time, target and convergence. ``clock`` gives seconds; only differences matter.

    ``gpu_share`` is what part of a GPU a trial takes, ``images`` the number of validation images.
    """

    def __init__(
        self,
        config: StudyConfig,
        *,
        gpu_share: float,
        images: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._gpu_share = gpu_share
        self._images = images
        self._clock = clock
        self._spent: dict[int, _Spent] = {}
        self._running: dict[int, float] = {}  # since when they were last heard of
        self._accuracies: dict[int, float] = {}
        self._known_outlook: Outlook | None = None
        self._outlook_due = False
        # sums, as there may be thousands of trials and executors ask after every step
        self._epochs = self._planned = 0
        self._ended_gpu_s = 0.0
        self._best = 0.0
        self.begin()

    def count(self, record: TrialRecord) -> None:
        """Take into account how a trial stands; again whenever that changes."""
        if not record.trained or record.plan is None:
            return
        running = record.state is TrialState.RUNNING
        epochs = len(record.measurements)
        before = self._spent.get(record.number, _NOTHING)
        now = self._spent[record.number] = _Spent(
            epochs=epochs,
            planned=record.planned_epochs if running else epochs,
            gpu_s=record.training_s * self._gpu_share,
        )
        self._epochs += now.epochs - before.epochs
        self._planned += now.planned - before.planned
        self._ended_gpu_s += now.gpu_s - before.gpu_s
        self._running.pop(record.number, None)
        if running:
            self._running[record.number] = self._clock()
        if record.state is not TrialState.FAILED and record.best:
            accuracy = max(m.val_accuracy for m in record.measurements)
            self._best = max(self._best, accuracy)
            if not record.is_scout:  # which says little of how good a network can become
                self._accuracies[record.number] = accuracy
                self._outlook_due = True

    def grant(self, config: StudyConfig) -> None:
        """From now on the budgets are those of ``config``."""
        self._config = config

    def begin(self) -> None:
        """The search begins now; what was spent before says nothing of its pace."""
        self._began, self._before = self._clock(), (self._epochs, self._gpu_s, len(self._spent))

    @property
    def epochs_left(self) -> float:
        """Epochs that no trial has trained or been promised."""
        total = self._config.epochs_total
        return math.inf if total is None else total - self._planned

    @property
    def used_up(self) -> tuple[EndReason, str] | None:
        """Why nothing more is to be trained, as a code and in words; None while more is."""
        config, target = self._config, self._config.target_accuracy
        if config.epochs_total is not None and self._epochs >= config.epochs_total:
            return EndReason.BUDGET_SPENT, f"all {config.epochs_total:,} epochs are trained"
        if config.gpu_hours is not None and self._gpu_s >= 3600 * config.gpu_hours:
            return EndReason.BUDGET_SPENT, f"all {format_clock(3600 * config.gpu_hours)} of GPU time are used"
        if target is not None and self._best >= target:
            return (
                EndReason.TARGET_REACHED,
                f"the target accuracy of {target:.2%} is reached: {self._best:.2%}",
            )
        if config.until_converged and self._outlook and self._outlook.converged:
            return EndReason.CONVERGED, f"the search has converged: {self._outlook}"
        return None

    def spendings(self) -> Iterator[Spending]:
        """How each budget of the study stands."""
        config = self._config
        if config.epochs_total is not None:
            text = f"{self._epochs:,} of {config.epochs_total:,}"
            done = self._epochs - self._before[0]
            yield Spending(
                name="epochs", text=text, eta_s=self._eta_s(config.epochs_total - self._epochs, done)
            )
        if config.gpu_hours is not None:
            allowed_s, used_s = 3600 * config.gpu_hours, self._gpu_s
            text = f"{format_clock(used_s)} of {format_clock(allowed_s)}"
            yield Spending(
                name="GPU time", text=text, eta_s=self._eta_s(allowed_s - used_s, used_s - self._before[1])
            )
        if config.target_accuracy is not None:
            text = f"{self._best:.2%} of {config.target_accuracy:.2%}"
            found = self._outlook
            needed = found.trials_until(config.target_accuracy) if found else math.inf
            yield Spending(
                name="target",
                text=text,
                eta_s=self._eta_s(needed, len(self._spent) - self._before[2]),
            )
        if config.until_converged:
            if self._outlook:  # which may change with any trial
                yield Spending(name="convergence", text=str(self._outlook))
            else:
                missing = LEAST_TRIALS - len(self._accuracies)
                eta_s = self._eta_s(missing, len(self._spent) - self._before[2])
                yield Spending(name="convergence", text="too few trials to tell", eta_s=eta_s)

    @property
    def _outlook(self) -> Outlook | None:
        """What more trials may bring; worked out when it is asked for, as thousands are counted at a resume."""
        if self._outlook_due:
            self._known_outlook = outlook(list(self._accuracies.values()), self._images)
            self._outlook_due = False
        return self._known_outlook

    @property
    def _gpu_s(self) -> float:
        now = self._clock()
        running_s = sum(now - since for since in self._running.values())
        return self._ended_gpu_s + running_s * self._gpu_share

    def _eta_s(self, left: float, done: float) -> float | None:
        """Seconds that ``left`` will take at the pace at which ``done`` was done by this run."""
        if done <= 0 or math.isinf(left):
            return None
        return max(0.0, left) * (self._clock() - self._began) / done
