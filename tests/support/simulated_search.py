"""A whole search by a simulated clock: the real plan and the real controller, on a machine that only counts seconds.

What is simulated is what a worker does (``trials/training/loop.py`` with its ``TimeLimit``) and how long everything
takes: networks by their multiply-adds and activations, the end of the study by what it costs. Everything that decides
is the code that decides in a real search.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from convscout.search_space.architecture import ImageSpec
from convscout.search_space.complexity import Complexity
from convscout.services.config.home import Home
from convscout.services.config.study_config import StudyConfig
from convscout.services.executors.base import goes_on
from convscout.services.executors.placement import Placement
from convscout.services.ledger.ledger import Ledger
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.search.auto_config import count_full_trials, resolve, training_s, with_sampler
from convscout.services.search.budget import Budget
from convscout.services.search.controller import Search
from convscout.services.search.extent import extent_for
from convscout.services.search.phases import PhasePlan
from convscout.services.search.runtime_model import RuntimeModel
from convscout.services.search.setting import SearchSetting
from convscout.services.studies.session import study_space
from convscout.trials.config import Estimate, Measurement, TrialResult
from convscout.trials.data.batches import TrainingData
from convscout.trials.data.extent import Available
from convscout.trials.data.splits import LabelledImages, Normalization
from convscout.trials.end_reason import EndReason
from convscout.trials.training.first_steps import JUDGING
from convscout.trials.training.machine_speed import MachineSpeed, Reference
from convscout.trials.training.run import Dispatch, Progress
from convscout.trials.training.time_limit import SAVING_S
from tests.support.studies import quiet

STARTING_S = 1.0  # of the command, before anything is read
WORKER_S = 1.5  # of a worker, before its first trial
WATCHED_S = 2.0  # after so long a trial tells how long its epochs will take
# What the references cost (``trials/training/machine_speed.py``).
REFERENCES: Mapping[str, Complexity] = {
    "small speednet": Complexity(params=88_000, flops=6_840_000, activations=49_000, peak_train_bytes=1),
    "speednet": Complexity(params=497_816, flops=33_066_272, activations=103_786, peak_train_bytes=1),
    "resnet": Complexity(params=308_826, flops=16_172_288, activations=92_170, peak_train_bytes=1),
}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """``speed`` times as fast as the reference: one that trains speednet at 500 images/s a thread.

    Trials take ``busier`` times as long as it was measured, as when another program runs beside them.
    """

    speed: float
    workers: int
    busier: float = 1.0

    def image_s(self, cost: Complexity) -> float:
        """Seconds that one image takes to train on."""
        return (4.5e-11 * cost.flops + 3e-9 * cost.activations) / self.speed

    def step_s(self, cost: Complexity) -> float:
        """Seconds that a step takes beside its images."""
        return (5e-9 * cost.params + 2e-3) / self.speed

    @property
    def measured(self) -> MachineSpeed:
        """What a look at it finds."""
        references = tuple(
            Reference(name=name, complexity=cost, image_s=self.image_s(cost), step_s=self.step_s(cost))
            for name, cost in REFERENCES.items()
        )
        return MachineSpeed(
            device="cpu",
            threads=self.workers,
            precision="float32 channels-last",
            references=references,
            answers_per_s=self.workers * references[1].images_per_s / JUDGING,
            interpreter_s=0.1,
        )


@dataclass(frozen=True, kw_only=True)
class Images:
    """A folder of ``count`` images, ``side`` pixels a side, of which a fifth is for the test."""

    count: int
    side: int = 32
    classes: int = 10

    def read_s(self, speed: float) -> float:
        """Seconds that reading one takes on a machine of that speed."""
        return 5e-4 * max(1.0, (self.side / 32) ** 2 / 8) / speed

    def available(self, machine: Machine) -> Available:
        read_s = self.read_s(machine.speed)
        return Available(
            num_train=self.count,
            num_validation=0,
            num_test=0,
            num_classes=self.classes,
            side=self.side,
            channels=3,
            read_s=read_s,
            resized_read_s=read_s,
        )


@dataclass(kw_only=True)
class Clock:
    """Seconds since 1970, as this simulation has it."""

    now: float = 1e9

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, kw_only=True)
class Told:
    """What came of a search: its trials, and where the time went."""

    trials: list[TrialRecord]
    took_s: float
    available_s: float  # of all workers together, between the first dispatch and the end of training
    trained_s: float
    end_s: float  # of the ensemble, the test and the export, of as many members as were afforded
    least_end_s: float  # the same of one member
    config: StudyConfig

    @property
    def models(self) -> list[TrialRecord]:
        return [record for record in self.trials if record.state.scored and record.measurements]


@dataclass(kw_only=True)
class _Worker:
    """Trains one trial, as ``trials/training/loop.py`` would; ``before_s`` seconds were trained by earlier attempts."""

    machine: Machine
    threads: int
    data: TrainingData
    dispatch: Dispatch
    cost: Complexity
    began_s: float
    epoch: int = 0
    before_s: float = 0.0
    elapsed_s: float = 0.0
    estimated: bool = False
    trained_s: float = field(default=0.0)

    def step(self) -> tuple[float, Progress]:
        """When the next word of it comes, and what it is."""
        recipe = self.dispatch.config.recipe
        step_s = self.machine.step_s(self.cost) / recipe.batch_size
        image_s = self.machine.busier * (self.machine.image_s(self.cost) / self.threads + step_s)
        images = len(self.data.train.part(self.dispatch.config.images_share))
        validation = len(self.data.validation)
        train_s, judge_s = images * image_s, JUDGING * validation * image_s
        if not self.estimated and self.epoch == 0 and train_s > WATCHED_S:
            self.estimated = True
            step_s = min(recipe.batch_size, images) * image_s
            told_at = self.began_s + max(WATCHED_S, 7 * step_s)
            if told_at < self.ends_s - judge_s:
                return told_at, Progress(estimate=Estimate(epoch_s=train_s + judge_s))
        self.epoch += 1
        begins_s = self.began_s + self.elapsed_s
        last_s = self.ends_s - judge_s - SAVING_S  # of training
        share = 1.0
        if begins_s + train_s > last_s:
            steps = math.ceil(images / recipe.batch_size)
            share = max(1 / steps, min(1.0, (last_s - begins_s) / train_s))
        took_s = share * train_s + judge_s
        self.elapsed_s += took_s
        last = share < 1 or begins_s + took_s + train_s / 1e3 > last_s
        ended = last or self.epoch == recipe.epochs
        result = None
        if ended:
            config = self.dispatch.config
            result = TrialResult(number=config.number, attempt=config.attempt, code=EndReason.COMPLETED)
        return self.began_s + self.elapsed_s, Progress(
            measurement=self._measurement(share, image_s, last and self.epoch < recipe.epochs), result=result
        )

    @property
    def ends_s(self) -> float:
        return self.dispatch.sent_at + self.dispatch.time_s

    def _measurement(self, share: float, image_s: float, last: bool) -> Measurement:
        seen = (self.epoch - 1 + share) * self.dispatch.config.images_share * len(self.data.train)
        accuracy = 1 - 1 / (1 + (seen * self.cost.flops / 1e11) ** 0.3)
        return Measurement(
            epoch=self.epoch,
            train_loss=1 - accuracy,
            val_loss=1 - accuracy,
            val_accuracy=accuracy,
            val_balanced_accuracy=accuracy,
            val_macro_f1=accuracy,
            val_calibration_error=0.1,
            learning_rate=0.1,
            elapsed_s=self.before_s + self.elapsed_s,
            images_per_s=1 / image_s,
            precision="float32 channels-last",
            share=share,
            last=last,
        )


def simulate(
    home: Path,
    machine: Machine,
    images: Images,
    *,
    time_s: float,
    most_trials: int | None = None,
    killed_after: Sequence[int] = (),
    **settings: Any,
) -> Told:
    """A search of ``time_s`` for ``images`` on ``machine``, with ``settings`` of a study.

    Its controller is killed after so many words of its workers, again and again, and another goes on with the study.
    """
    clock = Clock()
    began_s = clock.now
    clock.now += STARTING_S
    config = StudyConfig.from_options(
        {
            "name": "simulated",
            "data": "digits",
            "families": ("speednet", "lenet", "resnet"),
            "time_s": time_s,
            "trials": most_trials,
            "pruner": "none",
            **settings,
        }
    )
    speed = machine.measured
    available = images.available(machine)
    extent = extent_for(lambda: speed, lambda: began_s + time_s - clock.now, None)(available)
    data = _data(images, extent.share, extent.image_size or images.side)
    clock.now += max(extent.share * images.count, 3 * images.classes) * available.read_s
    runtime = RuntimeModel.on(speed, training=len(data.train), validation=len(data.validation))
    config = replace(config, share=extent.share, image_size=extent.image_size)
    config, num_trials = resolve(config, data, runtime, workers=machine.workers, united=True)
    left_s = began_s + time_s - clock.now
    room = count_full_trials(config, data, runtime, workers=machine.workers, left_s=left_s)
    placement = Placement(workers=machine.workers).united(room)
    training, validation = len(data.train), len(data.validation)
    config, _ = with_sampler(config, study_space(config, data), num_trials)
    ledger = Ledger.create(Home(home), config, fingerprint="f" * 64)

    def begin() -> Search:
        setting = SearchSetting(
            space=study_space(config, data),
            budget=Budget(started_s=began_s, time_s=time_s, trials=config.trials, clock=clock),
            fingerprint="f" * 64,
            num_training=len(data.train),
            num_validation=len(data.validation),
            num_test=round(extent.share * images.count / 5),
            gpu_share=0.0,
            device="cpu",
            workers=placement.workers,
            threads=placement.threads,
            speed=speed,
            runtime=RuntimeModel.on(
                speed, training=training, validation=validation, threads=placement.threads
            ),
            plan=PhasePlan.of(
                config,
                num_images=training,
                full_trials=count_full_trials(config, data, runtime, workers=machine.workers, left_s=time_s),
                training_s=placement.workers * training_s(time_s),
                begun=any(record.is_scout for record in ledger.trials()),
            ),
        )
        search = Search(ledger, setting, listener=quiet, touch=lambda number: None, interrupted=lambda: False)
        search.prepare()
        return search

    training_from_s, trained_s = clock.now, 0.0
    for words in killed_after:
        trained_s += _train(begin(), ledger, machine, placement, data, clock, most_words=words)
        ledger = Ledger.open(Home(home).study(config.name))
    search = begin()
    trained_s += _train(search, ledger, machine, placement, data, clock)
    available_s = (clock.now - training_from_s) * placement.workers
    search.close()
    cost = search.finish_cost
    end_s = cost.fixed_s + search.affordable_members * cost.member_s
    return Told(
        trials=ledger.trials(),
        took_s=clock.now - began_s + end_s,
        available_s=available_s,
        trained_s=trained_s,
        end_s=end_s,
        least_end_s=cost.fixed_s + cost.member_s,
        config=config,
    )


def _train(
    search: Search,
    ledger: Ledger,
    machine: Machine,
    placement: Placement,
    data: TrainingData,
    clock: Clock,
    *,
    most_words: float = math.inf,
) -> float:
    """Let workers train what ``search`` dispatches until it is over; returns the seconds they trained.

    After ``most_words`` of theirs nobody listens any more.
    """
    threads = placement.threads
    free, busy, trained_s = placement.workers, list[tuple[float, int, _Worker, Progress]](), 0.0
    clock.now += WORKER_S
    words = 0
    while not search.should_stop() and words < most_words:
        while free and (dispatch := search.next_dispatch()):
            free -= 1
            record = ledger.trial(dispatch.config.number)
            assert record.complexity is not None
            worker = _Worker(
                machine=machine,
                threads=threads,
                data=data,
                dispatch=dispatch,
                cost=record.complexity,
                began_s=clock.now,
                epoch=dispatch.reported,
                before_s=record.training_s,
            )
            _push(busy, worker)
        if not busy:
            break
        at_s, _, worker, progress = heapq.heappop(busy)
        if not _waits_until(search, clock, at_s):
            trained_s += clock.now - worker.began_s
            break
        words += 1
        if goes_on(search, worker.dispatch.config, progress):
            _push(busy, worker)
        else:
            trained_s += clock.now - worker.began_s
            free += 1
    return trained_s + sum(clock.now - worker.began_s for _, _, worker, _ in busy)


def _waits_until(search: Search, clock: Clock, at_s: float) -> bool:
    """Let the time pass to ``at_s``, unless the search ends before; a search is asked often while trials train."""
    while clock.now < at_s:
        clock.now = min(at_s, clock.now + max(0.05, (at_s - clock.now) / 20))
        if search.should_stop():
            return False
    return True


def _push(busy: list[tuple[float, int, _Worker, Progress]], worker: _Worker) -> None:
    at_s, progress = worker.step()
    heapq.heappush(busy, (at_s, worker.dispatch.config.number, worker, progress))


def _data(images: Images, share: float, side: int) -> TrainingData:
    """As much of ``images``: black, and none of them in memory."""
    train, validation = round(0.72 * share * images.count), round(0.08 * share * images.count)
    return TrainingData(
        train=_black(max(1, train), side),
        validation=_black(max(1, validation), side),
        image=ImageSpec(in_channels=3, image_size=side, num_classes=images.classes),
        normalization=Normalization(mean=(0.0,) * 3, std=(1.0,) * 3),
        fingerprint="f" * 64,
    )


def _black(count: int, side: int) -> LabelledImages:
    pixels = np.broadcast_to(np.zeros(1, np.uint8), (count, side, side, 3))
    return LabelledImages(images=pixels, labels=np.zeros(count, np.int64))
