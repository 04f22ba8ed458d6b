"""TrialRun: one attempt at a trial, from its configuration to its files, an epoch at a time."""

from __future__ import annotations

import errno
import math
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from convscout.search_space.architecture import ImageSpec
from convscout.search_space.errors import ConvscoutError, DivergedError, StudyInterrupted
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.checkpoints.writer import CheckpointWriter
from convscout.trials.compute.allocator import kept_memory
from convscout.trials.compute.determinism import deterministic_algorithms
from convscout.trials.compute.precision import Precision, choose_device, choose_precision, use_fast_kernels
from convscout.trials.compute.seeding import drawing_from
from convscout.trials.config import Estimate, Measurement, TrialConfig, TrialResult
from convscout.trials.data.batches import Batches, TrainingData
from convscout.trials.end_reason import EndReason
from convscout.trials.evaluation.qualities import QUALITIES
from convscout.trials.training.calibration import calibrate, read_precision, write_precision
from convscout.trials.training.cuda_graph import graphs_for
from convscout.trials.training.loop import TrainingState, train
from convscout.trials.training.loss_scale import LossScale
from convscout.trials.training.time_limit import TimeLimit

NO_ROOM = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
)  # no fault of the candidate, and the next would fare no better
_OUT_OF_MEMORY = (MemoryError, torch.OutOfMemoryError)  # torch has no type for a CPU's
MOST_TRAVEL_S = 60.0  # of an order to a worker that has yet to start; more is a clock that is wrong
_INITIAL_PIXELS = 5_000 * 32 * 32  # seen before training by networks that derive weights from images


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    """An order to a worker: run ``config`` in ``directory`` on ``device``.

    ``reported`` is the last epoch that the ledger already has; epochs that were checkpointed after it
    are reported from the checkpoint instead of being trained again. If it was not checkpointed itself, it
    is trained again, and not reported. ``cache`` is where calibrations are kept for other trials, if
    anywhere. ``deterministic`` asks for the same bits whenever the trial is repeated on the same machine.
    ``keep_last`` keeps the last epoch rather than the best one: where the validation images are trained on.
    ``time_s`` is how long after ``sent_at`` (seconds since 1970) the schedule ends at the latest.
    """

    config: TrialConfig
    directory: str
    device: str
    reported: int
    cache: str | None = None
    deterministic: bool = False
    keep_last: bool = False
    time_s: float = math.inf
    sent_at: float = 0.0

    @property
    def left_s(self) -> float:
        """Seconds of ``time_s`` that are left now; what the clocks of two machines differ by is not counted."""
        travelled_s = time.time() - self.sent_at
        return self.time_s - (travelled_s if 0 <= travelled_s <= MOST_TRAVEL_S else 0.0)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What one step of a trial showed: another epoch, its end, or both with the last epoch.

    Or, in the middle of the first epoch here, only how long its epochs will take.
    """

    estimate: Estimate | None = None
    measurement: Measurement | None = None
    result: TrialResult | None = None


def never() -> bool:
    """The ``should_stop`` of a worker that is stopped from outside."""
    return False


class TrialRun:
    """A trial under way. ``step`` is called until it answers with a result; it never raises a trial's error.

    An epoch is reported once it is on disk as the best, if it is that. What it takes to go on after it is
    written while the next epoch trains, and is on disk before the next is reported or the trial ends; after
    the last there is nothing to go on with.
    """

    def __init__(
        self, dispatch: Dispatch, data: TrainingData, *, should_stop: Callable[[], bool] = never
    ) -> None:
        self._config = dispatch.config
        self._keep_last = dispatch.keep_last
        self._directory = TrialDirectory(Path(dispatch.directory))
        self._news = self._keep(dispatch, data, should_stop)

    def step(self) -> Progress:
        """Train one more epoch or its first steps, or say how the trial ended.

        The result of a trial that the disk has no room for is that it is still running: unfinished. Raises
        ``StudyInterrupted`` when the run was asked to stop; the trial is then unfinished, too.
        """
        try:
            measurement = next(self._news, None)
            if isinstance(measurement, Estimate):
                return Progress(estimate=measurement)
            if measurement is not None and not self._is_last(measurement):
                return Progress(measurement=measurement)
            self.close()
            return self._end(EndReason.COMPLETED, measurement=measurement)
        except StudyInterrupted:
            raise
        except DivergedError as error:
            return self._end(EndReason.DIVERGED, error.message)
        except ConvscoutError as error:
            return self._end(EndReason.ERROR, error.message)
        except Exception as error:  # a candidate may fail in any way; the study must go on
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                return self._end(None, f"{error.strerror}: {error.filename}")
            with suppress(OSError):  # the disk may be what failed
                (self._directory.path / "error.txt").write_text(traceback.format_exc())
            first_line = next(iter(str(error).splitlines()), "")
            code = EndReason.OUT_OF_MEMORY if isinstance(error, _OUT_OF_MEMORY) else EndReason.ERROR
            return self._end(code, f"{type(error).__name__}: {first_line[:300]}")

    def _is_last(self, measurement: Measurement) -> bool:
        return measurement.last or measurement.epoch == self._config.recipe.epochs

    def epoch(self) -> Progress:
        """As ``step``, for a whole epoch."""
        while (progress := self.step()).estimate:
            continue
        return progress

    def close(self) -> None:
        """Stop here, with everything on disk that was reported."""
        self._news.close()

    def _end(
        self, code: EndReason | None, error: str = "", measurement: Measurement | None = None
    ) -> Progress:
        result = TrialResult(number=self._config.number, attempt=self._config.attempt, code=code, error=error)
        return Progress(measurement=measurement, result=result)

    def _keep(
        self, dispatch: Dispatch, data: TrainingData, should_stop: Callable[[], bool]
    ) -> Generator[Measurement | Estimate]:
        """Measurements that the ledger lacks, each of an epoch that may be lost no more than one at a time."""
        writer = CheckpointWriter(self._directory, self._config.attempt)
        with kept_memory(), deterministic_algorithms(dispatch.deterministic), writer:
            for news in self._run(dispatch, data, should_stop, writer):
                if isinstance(news, Estimate) or news.epoch > dispatch.reported:
                    yield news

    def _run(
        self,
        dispatch: Dispatch,
        data: TrainingData,
        should_stop: Callable[[], bool],
        writer: CheckpointWriter,
    ) -> Iterator[Measurement | Estimate]:
        config, recipe = dispatch.config, dispatch.config.recipe
        limit = TimeLimit(dispatch.left_s, gradual=not dispatch.deterministic)
        assert config.dataset == data.fingerprint, "a worker was sent a trial of other data"
        device = choose_device(dispatch.device)
        use_fast_kernels(device)
        training, validation = (
            Batches(
                part,
                data.normalization,
                num_classes=data.image.num_classes,
                device=device,
                memory=data.device_bytes,
            )
            for part in (data.train.part(config.images_share), data.validation)
        )
        state = _initial_state(config, data.image, training, device)
        self._restore(state)
        precision = self._precision(dispatch, state, training, data.image, device, should_stop)
        for network in (state.model, state.evaluated):
            network.to(memory_format=precision.layout)
        yield from list(state.measurements)
        for news in train(
            state,
            training,
            validation,
            recipe,
            seed=config.seed,
            precision=precision,
            should_stop=should_stop,
            new_graph=graphs_for(device),
            teacher=None if data.teacher is None else data.teacher.to(device),
            limit=limit,
            reported=dispatch.reported,
        ):
            if isinstance(news, Measurement):
                self._save(state, writer)
            yield news

    def _precision(
        self,
        dispatch: Dispatch,
        state: TrainingState,
        training: Batches,
        image: ImageSpec,
        device: torch.device,
        should_stop: Callable[[], bool],
    ) -> Precision:
        """What an earlier attempt began with, so that this one ends bit-identically; else what is chosen now."""
        file = self._directory.path / "precision.json"
        if known := read_precision(file, device):
            return known
        if self._config.recipe.precision == "auto" and not dispatch.deterministic:
            cache = None if dispatch.cache is None else Path(dispatch.cache)
            precision = calibrate(
                state, training, self._config, image, device, cache=cache, should_stop=should_stop
            )
        else:  # calibration goes by the clock
            precision = choose_precision(self._config.recipe.precision, device)
        write_precision(file, precision)
        return precision

    def _restore(self, state: TrainingState) -> None:
        saved = self._directory.load_epoch()
        if saved is None:
            return
        measurements = [Measurement.from_dict(values) for values in saved["measurements"]]
        best = None if self._keep_last else self._best(measurements)
        if best and (self._directory.best_epoch or 0) < best.epoch:
            return  # its weights are lost, and only training from the beginning brings them back
        state.model.load_state_dict(saved["model"])
        # its settings come from the recipe, and suit this device, which may be another
        settings = state.optimizer.state_dict()["param_groups"]
        state.optimizer.load_state_dict({**saved["optimizer"], "param_groups": settings})
        if state.average is not None:
            state.average.load_state_dict(saved["average"])
        if scale := saved.get("loss_scale"):
            state.loss_scale = LossScale(next(state.model.parameters()).device)
            state.loss_scale.load_state_dict(scale)
        state.epoch = saved["epoch"]
        state.progress = saved.get("progress", 0.0)
        state.measurements = measurements

    def _best(self, measurements: list[Measurement]) -> Measurement | None:
        return QUALITIES[self._config.objective].best(measurements)

    def _save(self, state: TrainingState, writer: CheckpointWriter) -> None:
        writer.wait()  # it drops all best epochs but the newest, which must not be one that is not settled yet
        self._directory.check_attempt(self._config.attempt)
        assert state.probabilities is not None
        best = self._best(state.measurements)
        assert best is not None
        last = self._is_last(state.measurements[-1])
        if last if self._keep_last else best.epoch == state.epoch:
            raw = None if state.average is None else state.model.state_dict()
            self._directory.save_best(state.epoch, state.evaluated.state_dict(), state.probabilities, raw)
        if last:
            return
        saved = {
            "model": state.model.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "average": None if state.average is None else state.average.state_dict(),
            "loss_scale": None if state.loss_scale is None else state.loss_scale.state_dict(),
            "epoch": state.epoch,
            "progress": state.progress,
            "measurements": [m.to_dict() for m in state.measurements],
        }
        writer.save_epoch(state.epoch, saved)


def _initial_state(
    config: TrialConfig, image: ImageSpec, training: Batches, device: torch.device
) -> TrainingState:
    with drawing_from(config.seed):
        model = config.architecture.build(image)
    model.to(device)
    model.to(memory_format=torch.channels_last)
    model.initialize_from(training.spread(max(1, _INITIAL_PIXELS // image.image_size**2)))
    return TrainingState.of(model, config.recipe)
