"""Trainings: networks that are trained beside the trials of a study, by whatever executor trains those.

They are no trials: the ledger does not know them. What each has come to is in its directory, from which it goes on
after a crash.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from convscout.search_space.errors import ConvscoutError
from convscout.services.events.events import Listener, Loading, Notice
from convscout.services.executors.data_placement import share_gpu
from convscout.services.executors.factory import executor_of
from convscout.services.executors.placement import Machine, Placement, can_unite
from convscout.services.ledger.ledger import Ledger
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.config import Measurement, TrialConfig, TrialResult
from convscout.trials.data.batches import TrainingData
from convscout.trials.end_reason import EndReason
from convscout.trials.training.run import Dispatch

MAX_LOSSES = 3  # workers that may die on one


@dataclass(frozen=True, kw_only=True)
class Training:
    """One of them: ``name`` is for a person, ``config`` says what to train, ``directory`` where it is kept.

    An epoch should take it ``epoch_s`` seconds. ``keep_last`` is as in ``Dispatch``.
    """

    name: str
    config: TrialConfig
    directory: TrialDirectory
    epoch_s: float
    keep_last: bool = False

    @property
    def done(self) -> bool:
        """Whether it has been trained to its end."""
        return self.directory.finished


def train(
    ledger: Ledger,
    plan: Sequence[Training],
    data: TrainingData,
    *,
    placement: Placement,
    cluster: Machine | None,
    description: str,
    left_s: Callable[[], float],
    interrupted: Callable[[], bool],
    listener: Listener,
) -> None:
    """Train ``plan`` on ``data`` as ``placement`` has it, on ``cluster`` or here; the rest is as in ``Trainings``.

    Where there are fewer of them than workers, each has more cores, if that is left open.
    """
    config, home = ledger.config, ledger.home
    if can_unite(config, cluster):
        placement = placement.united(sum(not training.done for training in plan))
    trainings = Trainings(
        plan,
        description=description,
        left_s=left_s,
        interrupted=lambda: interrupted() or ledger.lost,
        listener=listener,
        device=placement.device,
        cache=home.cache / "calibration",
        deterministic=config.deterministic,
    )
    if not trainings.finished:
        shared = share_gpu(data, placement, cluster)
        executor_of(config, shared, placement, home).run(trainings)


class Trainings:
    """The controller of ``trainings``, which begin in their order; those that are done stay as they are.

    One is begun only while ``left_s``, seconds, suffice for it; all end when ``interrupted``. ``device``, ``cache`` and
    ``deterministic`` are as in ``Dispatch``.
    """

    def __init__(
        self,
        trainings: Sequence[Training],
        *,
        description: str,
        left_s: Callable[[], float],
        interrupted: Callable[[], bool],
        listener: Listener,
        device: str,
        cache: Path,
        deterministic: bool,
    ) -> None:
        self._trainings = list(trainings)
        self._description = description
        self._left_s = left_s
        self._interrupted = interrupted
        self._listener = listener
        self._device = device
        self._cache = cache
        self._deterministic = deterministic
        self._waiting = deque(number for number, training in enumerate(self._trainings) if not training.done)
        self._running: set[int] = set()
        self._losses: Counter[int] = Counter()
        self._epochs = {
            number: training.config.recipe.epochs
            for number, training in enumerate(self._trainings)
            if training.done
        }
        self._tell()

    @property
    def finished(self) -> bool:
        return not self._waiting and not self._running

    def should_stop(self) -> bool:
        return self._interrupted() or self._left_s() <= 0

    def next_dispatch(self) -> Dispatch | None:
        while self._waiting and not self.should_stop():
            number = self._waiting.popleft()
            training = self._trainings[number]
            if training.epoch_s * training.config.recipe.epochs <= self._left_s():
                self._running.add(number)
                return self._dispatch(number)
        return None

    def on_estimate(self, number: int, attempt: int, epoch_s: float) -> bool:
        missing = self._trainings[number].config.recipe.epochs - self._epochs[number]
        if epoch_s * missing <= self._left_s():
            return True
        self._running.discard(number)
        return False

    def on_epoch(self, number: int, attempt: int, measurement: Measurement) -> bool:
        self._epochs[number] = measurement.epoch
        self._tell()
        return True

    def on_end(self, result: TrialResult) -> None:
        training = self._trainings[result.number]
        self._running.discard(result.number)
        if result.code is None:
            raise ConvscoutError(f"{training.name} cannot go on: {result.error}")
        if result.code is EndReason.COMPLETED:
            training.directory.settle()
            training.directory.close()
        else:
            self._listener(Notice(text=f"{training.name} failed: {result.error}"))

    def on_lost(self, number: int, attempt: int, reason: str) -> None:
        self._running.discard(number)
        self._losses[number] += 1
        name = self._trainings[number].name
        if self._losses[number] < MAX_LOSSES:
            self._listener(Notice(text=f"{name}: {reason}; it goes on from its last checkpoint"))
            self._waiting.appendleft(number)
        else:
            self._listener(Notice(text=f"{name} is given up: {reason} {MAX_LOSSES} times"))

    def _dispatch(self, number: int) -> Dispatch:
        training = self._trainings[number]
        attempt = (training.directory.attempt or 0) + 1
        training.directory.claim(attempt)
        self._epochs[number] = training.directory.last_epoch or 0
        return Dispatch(
            config=replace(training.config, number=number, attempt=attempt),
            directory=str(training.directory.path),
            device=self._device,
            reported=self._epochs[number],
            cache=str(self._cache),
            deterministic=self._deterministic,
            keep_last=training.keep_last,
        )

    def _tell(self) -> None:
        total = sum(training.config.recipe.epochs for training in self._trainings)
        self._listener(Loading(description=self._description, done=sum(self._epochs.values()), total=total))
