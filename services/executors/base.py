"""What an executor is, and what it may ask of the search that it works for."""

from __future__ import annotations

from typing import Protocol

from convscout.trials.config import Measurement, TrialConfig, TrialResult
from convscout.trials.training.run import Dispatch, Progress


class Controller(Protocol):
    """The search, as an executor sees it. All calls come from one thread."""

    def next_dispatch(self) -> Dispatch | None:
        """The next trial to train, or None when there is none now."""

    @property
    def finished(self) -> bool:
        """Whether there will be no further dispatch and nothing is being trained."""

    def should_stop(self) -> bool:
        """Whether training must end now: the person asked for it or the time is up."""

    def on_estimate(self, number: int, attempt: int, epoch_s: float) -> bool:
        """Take note of how long an epoch will take; returns whether the trial should go on."""

    def on_epoch(self, number: int, attempt: int, measurement: Measurement) -> bool:
        """Record an epoch; returns whether the trial should go on."""

    def on_end(self, result: TrialResult) -> None:
        """Record how a trial ended by itself."""

    def on_lost(self, number: int, attempt: int, reason: str) -> None:
        """A worker died; the trial will be dispatched again or given up."""


class Executor(Protocol):
    """Trains what the controller dispatches until it is finished or should stop.

    On return no worker runs any more. Trials it had to break off are left unfinished in the ledger.
    """

    name: str
    workers: int

    def run(self, controller: Controller) -> None:
        """Work until the controller is finished or says to stop."""


def goes_on(controller: Controller, config: TrialConfig, progress: Progress) -> bool:
    """Tell ``controller`` what a step of the trial of ``config`` showed; returns whether there is to be another."""
    wanted = True
    if progress.estimate:
        wanted = controller.on_estimate(config.number, config.attempt, progress.estimate.epoch_s)
    if progress.measurement:
        wanted = controller.on_epoch(config.number, config.attempt, progress.measurement)
    if progress.result:
        controller.on_end(progress.result)
        wanted = False
    return wanted
