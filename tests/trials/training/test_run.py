"""A trial trains, survives interruption at any epoch unchanged, and says how it ended."""

from __future__ import annotations

import os
import re
import resource
import shutil
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from convscout.search_space.errors import StudyInterrupted
from convscout.trials.checkpoints.trial_directory import BestEpoch, TrialDirectory
from convscout.trials.config import Measurement, TrialPhase, TrialResult, TrialState
from convscout.trials.end_reason import EndReason
from convscout.trials.training.loop import mirrored_in, training_step
from convscout.trials.training.loss_watch import INTERVAL
from convscout.trials.training.run import Dispatch, TrialRun
from tests.support.digits import digits, dispatch


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # sums in another order differ in their last bits


def _train(order: Dispatch, most: int = 100) -> tuple[list[Measurement], TrialResult | None]:
    measurements: list[Measurement] = []
    with closing(TrialRun(order, digits())) as run:
        while len(measurements) < most:
            progress = run.epoch()
            if progress.measurement:
                measurements.append(progress.measurement)
            if progress.result:
                return measurements, progress.result
    return measurements, None


def _scores(measurements: list[Measurement]) -> list[Measurement]:
    return [replace(m, elapsed_s=0.0, images_per_s=0.0) for m in measurements]


def _best(directory: Path) -> BestEpoch:
    best = TrialDirectory(directory).load_best()
    assert best is not None
    return best


def test_a_trial_learns_and_completes(tmp_path: Path) -> None:
    measurements, result = _train(dispatch(tmp_path, epochs=8))
    assert result == TrialResult(number=3, attempt=1, code=EndReason.COMPLETED)
    assert [m.epoch for m in measurements] == list(range(1, 9))
    assert max(m.val_accuracy for m in measurements) > 0.9
    assert measurements[-1].train_loss < measurements[0].train_loss
    best = _best(tmp_path)
    assert measurements[best.epoch - 1].val_accuracy == max(m.val_accuracy for m in measurements)
    right = (best.probabilities.argmax(1).numpy() == digits().validation.labels).mean()
    assert right == pytest.approx(measurements[best.epoch - 1].val_accuracy)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_an_interrupted_trial_ends_bit_identically(tmp_path: Path, cut: int) -> None:
    straight, _ = _train(dispatch(tmp_path / "straight"))
    first, _ = _train(dispatch(tmp_path / "broken"), most=cut)
    second, result = _train(dispatch(tmp_path / "broken", reported=cut, attempt=2))
    assert result is not None and result.state is TrialState.COMPLETED
    assert _scores(first + second) == _scores(straight)
    weights, expected = _best(tmp_path / "broken").weights, _best(tmp_path / "straight").weights
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_epochs_that_were_kept_but_not_reported_are_not_trained_again(tmp_path: Path) -> None:
    first, _ = _train(dispatch(tmp_path), most=3)
    again, _ = _train(dispatch(tmp_path, reported=1, attempt=2), most=2)
    assert again == first[1:], "the same measurements, times included"


def test_an_epoch_that_was_reported_and_not_kept_is_trained_again_in_silence(tmp_path: Path) -> None:
    straight, _ = _train(dispatch(tmp_path / "straight"))
    _train(dispatch(tmp_path / "broken"), most=2)
    next((tmp_path / "broken").glob("epoch-0002*")).unlink()
    again, result = _train(dispatch(tmp_path / "broken", reported=2, attempt=2))
    assert result is not None and result.state is TrialState.COMPLETED
    assert _scores(again) == _scores(straight[2:])


def _left_by_crashes(
    trial: Path, crashes: Path, monkeypatch: pytest.MonkeyPatch, *, power: bool
) -> list[tuple[int, Path]]:
    """Train, and copy the directory at every fsync; returns the last epoch trained then, and the copy.

    When the ``power`` goes, what was not fsynced is only half there.
    """
    real, copies, safe = os.fsync, list[tuple[int, Path]](), {"attempt"}

    def crash_and_go_on(descriptor: int) -> None:
        copy = crashes / f"{len(copies):02d}"
        shutil.copytree(trial, copy)
        trained = max((int(path.name[5:9]) for path in trial.glob("best-*")), default=0)
        copies.append((trained, copy))
        if power:
            for path in copy.iterdir():
                if path.name not in safe:
                    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        real(descriptor)
        written = Path(f"/proc/self/fd/{descriptor}").resolve()
        safe.add(re.sub(r"^\.(.*)\.\d+\.tmp$", r"\1", written.name))

    order = dispatch(trial, epochs=3)
    monkeypatch.setattr("convscout.trials.checkpoints.durable_files.os.fsync", crash_and_go_on)
    measurements, result = _train(order)
    monkeypatch.undo()
    assert result is not None and not result.error
    accuracies = [m.val_accuracy for m in measurements]
    assert accuracies == sorted(accuracies), "each epoch must be the best, for the epoch trained to be known"
    return copies


@pytest.mark.slow
@pytest.mark.parametrize("power", [False, True], ids=["kill", "power"])
def test_a_crash_at_any_moment_of_writing_loses_nothing_that_was_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, power: bool
) -> None:
    straight, _ = _train(dispatch(tmp_path / "straight", epochs=3))
    expected = _best(tmp_path / "straight")
    copies = _left_by_crashes(tmp_path / "trial", tmp_path / "crashes", monkeypatch, power=power)
    assert len(copies) >= 2 * 4, "of the two epochs that something follows"
    for trained, copy in copies:
        found = TrialDirectory(copy).load_epoch()
        assert (found["epoch"] if found else 0) >= trained - 1, "more than one epoch was lost"
        best = TrialDirectory(copy).load_best()
        assert (best.epoch if best else 0) >= trained - power, "what may be reported must be on disk"
        for reported in {max(0, trained - 1), trained}:
            resumed = shutil.copytree(copy, tmp_path / "resumed" / f"{copy.name}-{reported}")
            again, result = _train(dispatch(resumed, epochs=3, reported=reported, attempt=2))
            assert result is not None and result.state is TrialState.COMPLETED
            assert _scores(again) == _scores(straight[reported:])
            best = _best(resumed)
            assert best.epoch == expected.epoch
            assert all(torch.equal(best.weights[name], value) for name, value in expected.weights.items())


@pytest.mark.parametrize("epochs", [2, 3])
def test_a_disk_that_fills_up_fails_the_trial(tmp_path: Path, epochs: int) -> None:
    _train(dispatch(tmp_path / "whole"), most=1)
    size = next((tmp_path / "whole").glob("best-*")).stat().st_size
    order = dispatch(tmp_path / "full", epochs=epochs)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size * 3 // 2, before[1]))  # weights fit, momentum does not
    try:
        measurements, result = _train(order)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(measurements) == 1
    assert result is not None and result.state is TrialState.FAILED
    assert "File too large" in result.error
    assert TrialDirectory(tmp_path / "full").load_epoch() is None
    assert not list((tmp_path / "full").glob(".*.tmp"))


def test_a_replaced_attempt_stops_writing(tmp_path: Path) -> None:
    with closing(TrialRun(dispatch(tmp_path), digits())) as run:
        run.epoch()
        while not list(tmp_path.glob("epoch-*")):
            time.sleep(0.01)
        time.sleep(0.1)
        TrialDirectory(tmp_path).claim(2)
        files = sorted(path.name for path in tmp_path.iterdir())
        progress = run.epoch()
    assert progress.result is not None and "replaced by attempt 2" in progress.result.error
    assert sorted(path.name for path in tmp_path.iterdir()) == files


def test_a_diverged_trial_fails_with_its_reason(tmp_path: Path) -> None:
    measurements, result = _train(dispatch(tmp_path, learning_rate=1e8))
    assert result is not None and result.code is EndReason.DIVERGED
    assert "loss became" in result.error
    assert len(measurements) < 4


def test_a_diverged_trial_does_not_train_its_epoch_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0

    def counted(*arguments: Any) -> torch.Tensor:
        nonlocal steps
        steps += 1
        return training_step(*arguments)

    monkeypatch.setattr("convscout.trials.training.loop.training_step", counted)
    order = dispatch(tmp_path, learning_rate=1e8, batch_size=16, warmup=0.0)
    measurements, result = _train(order)
    assert result is not None and "training loss became" in result.error
    assert not measurements
    assert steps <= 3 * INTERVAL < len(digits().train) / 16


def test_a_network_whose_answers_are_not_finite_has_diverged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> torch.Tensor:
        return torch.full((len(digits().validation), 10), torch.nan)

    monkeypatch.setattr("convscout.trials.training.loop.probabilities", lost)
    measurements, result = _train(dispatch(tmp_path))
    assert result is not None and result.code is EndReason.DIVERGED
    assert result.error == "the validation loss became nan in epoch 1"
    assert not measurements


def test_a_scout_trains_on_its_part_of_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def counted(state: Any, images: torch.Tensor, *others: Any) -> torch.Tensor:
        seen.append(len(images))
        return training_step(state, images, *others)

    monkeypatch.setattr("convscout.trials.training.loop.training_step", counted)
    order = dispatch(tmp_path)
    scout = replace(order.config, phase=TrialPhase.SCOUT, images_share=0.25)
    measurements, _ = _train(replace(order, config=scout))
    assert sum(seen) == len(measurements) * round(0.25 * len(digits().train))


def test_a_damaged_checkpoint_costs_one_epoch_only(tmp_path: Path) -> None:
    straight, _ = _train(dispatch(tmp_path / "straight"))
    _train(dispatch(tmp_path / "broken"), most=3)
    newest = next((tmp_path / "broken").glob("epoch-0003*"))
    newest.write_bytes(newest.read_bytes()[:-100])
    again, _ = _train(dispatch(tmp_path / "broken", reported=2, attempt=2))
    assert _scores(again) == _scores(straight[2:])


def test_an_error_of_a_candidate_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("tried to allocate 2 GiB\nand more")

    monkeypatch.setattr("convscout.trials.training.loop.training_step", no_memory)
    _, result = _train(dispatch(tmp_path))
    assert result is not None and result.code is EndReason.OUT_OF_MEMORY
    assert result.error == "OutOfMemoryError: tried to allocate 2 GiB"
    assert "Traceback" in (tmp_path / "error.txt").read_text()


def test_training_can_be_stopped_within_an_epoch(tmp_path: Path) -> None:
    steps = -(-len(digits().train) // 64)
    calls = iter(range(1000))
    run = TrialRun(dispatch(tmp_path), digits(), should_stop=lambda: next(calls) > steps + 5)
    run.epoch()
    with pytest.raises(StudyInterrupted):
        run.epoch()
    kept = TrialDirectory(tmp_path).load_epoch()
    assert kept is not None and kept["epoch"] == 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "auto"])
def test_a_deterministic_trial_repeats_bit_by_bit(tmp_path: Path, precision: str) -> None:
    orders = [
        replace(dispatch(tmp_path / name, precision=precision, epochs=2), deterministic=True) for name in "ab"
    ]
    (one, _), (other, _) = (_train(order) for order in orders)
    assert _scores(one) == _scores(other)
    weights, expected = _best(tmp_path / "a").weights, _best(tmp_path / "b").weights
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert not torch.are_deterministic_algorithms_enabled(), "only while the trial runs"


def test_what_cannot_be_computed_deterministically_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scattered(*arguments: Any) -> torch.Tensor:
        target = torch.zeros(3)
        return target.put_(torch.tensor([0, 0]), torch.ones(2), accumulate=False)

    monkeypatch.setattr("convscout.trials.training.loop.training_step", scattered)
    _, result = _train(replace(dispatch(tmp_path), deterministic=True))
    assert result is not None and result.code is EndReason.ERROR
    assert "put_" in result.error and "deterministic" in result.error


def test_an_alternating_policy_shows_both_sides_of_every_image_in_two_epochs() -> None:
    first, second, third = (mirrored_in(epoch, 7, 1_000) for epoch in (1, 2, 3))
    assert torch.equal(second, ~first) and torch.equal(third, first)
    assert 0.4 < first.float().mean() < 0.6, "half of them begin mirrored"
    assert not torch.equal(first, mirrored_in(1, 8, 1_000)), "which ones goes by the seed"
