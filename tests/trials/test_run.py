"""A trial trains, survives interruption at any epoch unchanged, and says how it ended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from search_space.errors import StudyInterrupted
from tests.trials.digits import digits, dispatch
from trials.checkpoint import BestEpoch, TrialDirectory
from trials.config import Measurement, TrialResult, TrialState
from trials.run import Dispatch, TrialRun


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # sums in another order differ in their last bits


def _train(order: Dispatch, most: int = 100) -> tuple[list[Measurement], TrialResult | None]:
    run, measurements = TrialRun(order, digits()), []
    while len(measurements) < most:
        progress = run.step()
        if progress.result:
            return measurements, progress.result
        assert progress.measurement is not None
        measurements.append(progress.measurement)
    return measurements, None


def _scores(measurements: list[Measurement]) -> list[Measurement]:
    return [replace(m, elapsed_s=0.0, images_per_s=0.0) for m in measurements]


def _best(directory: Path) -> BestEpoch:
    best = TrialDirectory(directory).load_best()
    assert best is not None
    return best


def test_a_trial_learns_and_completes(tmp_path: Path) -> None:
    measurements, result = _train(dispatch(tmp_path, epochs=8))
    assert result == TrialResult(number=3, attempt=1, state=TrialState.COMPLETED)
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


def test_a_replaced_attempt_stops_writing(tmp_path: Path) -> None:
    run = TrialRun(dispatch(tmp_path), digits())
    run.step()
    TrialDirectory(tmp_path).claim(2)
    files = sorted(path.name for path in tmp_path.iterdir())
    progress = run.step()
    assert progress.result is not None and "replaced by attempt 2" in progress.result.error
    assert sorted(path.name for path in tmp_path.iterdir()) == files


def test_a_diverged_trial_fails_with_its_reason(tmp_path: Path) -> None:
    measurements, result = _train(dispatch(tmp_path, learning_rate=1e8))
    assert result is not None and result.state is TrialState.FAILED
    assert "loss became" in result.error
    assert len(measurements) < 4


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

    monkeypatch.setattr("trials.train._step", no_memory)
    _, result = _train(dispatch(tmp_path))
    assert result is not None and result.state is TrialState.FAILED
    assert result.error == "OutOfMemoryError: tried to allocate 2 GiB"
    assert "Traceback" in (tmp_path / "error.txt").read_text()


def test_training_can_be_stopped_within_an_epoch(tmp_path: Path) -> None:
    calls = iter(range(1000))
    run = TrialRun(dispatch(tmp_path), digits(), should_stop=lambda: next(calls) > 5)
    with pytest.raises(StudyInterrupted):
        run.step()
    assert TrialDirectory(tmp_path).load_epoch() is None
