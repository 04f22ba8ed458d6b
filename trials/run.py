"""TrialRun: one attempt at a trial, from its configuration to its files, an epoch at a time."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from search_space.architecture import ImageSpec
from search_space.errors import ConvscoutError, StudyInterrupted
from trials.batches import Batches, TrainingData
from trials.calibration import calibrated, read_precision, write_precision
from trials.checkpoint import TrialDirectory
from trials.checkpoint_writer import CheckpointWriter
from trials.config import Measurement, TrialConfig, TrialResult, TrialState
from trials.determinism import deterministic_algorithms
from trials.precision import Precision, choose_device, choose_precision
from trials.train import TrainingState, train

_INITIAL_PIXELS = 5_000 * 32 * 32  # seen before training by networks that derive weights from images


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    """An order to a worker: run ``config`` in ``directory`` on ``device``.

    ``reported`` is the last epoch that the ledger already has; epochs that were checkpointed after it
    are reported from the checkpoint instead of being trained again. If it was not checkpointed itself, it
    is trained again, and not reported. ``cache`` is where calibrations are kept for other trials, if
    anywhere. ``deterministic`` asks for the same bits whenever the trial is repeated on the same machine.
    """

    config: TrialConfig
    directory: str
    device: str
    reported: int
    cache: str | None = None
    deterministic: bool = False


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What one step of a trial showed: another epoch, or its end."""

    measurement: Measurement | None = None
    result: TrialResult | None = None


def never() -> bool:
    """The ``should_stop`` of a worker that is stopped from outside."""
    return False


class TrialRun:
    """A trial under way. ``step`` is called until it answers with a result; it never raises a trial's error.

    An epoch is reported once it is on disk as the best, if it is that. What it takes to go on after it is
    written while the next epoch trains, and is on disk before the next is reported or the trial ends.
    """

    def __init__(
        self, dispatch: Dispatch, data: TrainingData, *, should_stop: Callable[[], bool] = never
    ) -> None:
        self._config = dispatch.config
        self._directory = TrialDirectory(Path(dispatch.directory))
        self._measurements = self._kept(dispatch, data, should_stop)

    def step(self) -> Progress:
        """Train one more epoch, or say how the trial ended.

        Raises ``StudyInterrupted`` when the run was asked to stop; the trial is then unfinished.
        """
        try:
            return Progress(measurement=next(self._measurements))
        except StopIteration:
            return self._ended(TrialState.COMPLETED)
        except StudyInterrupted:
            raise
        except ConvscoutError as error:
            return self._ended(TrialState.FAILED, error.message)
        except Exception as error:  # a candidate may fail in any way; the study must go on
            with suppress(OSError):  # the disk may be what failed
                (self._directory.path / "error.txt").write_text(traceback.format_exc())
            first_line = next(iter(str(error).splitlines()), "")
            return self._ended(TrialState.FAILED, f"{type(error).__name__}: {first_line[:300]}")

    def close(self) -> None:
        """Stop here, with everything on disk that was reported."""
        self._measurements.close()

    def _ended(self, state: TrialState, error: str = "") -> Progress:
        result = TrialResult(
            number=self._config.number, attempt=self._config.attempt, state=state, error=error
        )
        return Progress(result=result)

    def _kept(
        self, dispatch: Dispatch, data: TrainingData, should_stop: Callable[[], bool]
    ) -> Generator[Measurement]:
        """Measurements that the ledger lacks, each of an epoch that may be lost no more than one at a time."""
        writer = CheckpointWriter(self._directory, self._config.attempt)
        with deterministic_algorithms(dispatch.deterministic), writer:
            for measurement in self._run(dispatch, data, should_stop, writer):
                if measurement.epoch > dispatch.reported:
                    yield measurement

    def _run(
        self,
        dispatch: Dispatch,
        data: TrainingData,
        should_stop: Callable[[], bool],
        writer: CheckpointWriter,
    ) -> Iterator[Measurement]:
        config, recipe = dispatch.config, dispatch.config.recipe
        assert config.dataset == data.fingerprint, "a worker was sent a trial of other data"
        device = choose_device(dispatch.device)
        training, validation = (
            Batches(part, data.normalization, num_classes=data.image.num_classes, device=device)
            for part in (data.train, data.validation)
        )
        state = _initial_state(config, data.image, training, device)
        self._restore(state)
        precision = self._precision(dispatch, state, training, data.image, device, should_stop)
        for network in (state.model, state.judged):
            network.to(memory_format=precision.layout)
        yield from list(state.measurements)
        for measurement in train(
            state,
            training,
            validation,
            recipe,
            seed=config.seed,
            precision=precision,
            should_stop=should_stop,
        ):
            self._save(state, writer)
            yield measurement

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
            precision = calibrated(
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
        state.model.load_state_dict(saved["model"])
        state.optimizer.load_state_dict(saved["optimizer"])
        if state.average is not None:
            state.average.load_state_dict(saved["average"])
        state.epoch = saved["epoch"]
        state.measurements = [Measurement.from_dict(values) for values in saved["measurements"]]

    def _save(self, state: TrainingState, writer: CheckpointWriter) -> None:
        writer.wait()  # it drops all best epochs but the newest, which must not be one that is not settled yet
        self._directory.check_attempt(self._config.attempt)
        assert state.probabilities is not None
        best = max(state.measurements, key=lambda m: (m.val_accuracy, -m.epoch))
        if best.epoch == state.epoch:
            self._directory.save_best(state.epoch, state.judged.state_dict(), state.probabilities)
        saved = {
            "model": state.model.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "average": None if state.average is None else state.average.state_dict(),
            "epoch": state.epoch,
            "measurements": [m.to_dict() for m in state.measurements],
        }
        writer.save_epoch(state.epoch, saved)


def _initial_state(
    config: TrialConfig, image: ImageSpec, training: Batches, device: torch.device
) -> TrainingState:
    torch.manual_seed(config.seed)
    model = config.architecture.build(image).to(device)
    model.to(memory_format=torch.channels_last)
    model.initialize_from(training.spread(max(1, _INITIAL_PIXELS // image.image_size**2)))
    average = None if config.recipe.averaging == "none" else copy.deepcopy(model)
    return TrainingState(model=model, optimizer=config.recipe.optimizer.build(model), average=average)
