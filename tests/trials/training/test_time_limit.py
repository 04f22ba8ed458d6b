"""A schedule that must end with the time does: gradually, with what was learnt by then validated."""

from __future__ import annotations

import math
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.config import Measurement, TrialResult, TrialState
from convscout.trials.training import loop as train
from convscout.trials.training.run import MOST_TRAVEL_S, Dispatch, TrialRun
from convscout.trials.training.time_limit import SAVING_S, TimeLimit
from tests.support.digits import digits, dispatch


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


class Clock:
    """Seconds that pass only when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_clock_moves_the_schedule_to_its_end_with_the_last_step_that_fits() -> None:
    clock = Clock()
    limit = TimeLimit(100 + SAVING_S + 10, clock=clock)
    limit.validation_s = 10.0
    seen = []
    for _ in range(20):
        seen.append(limit.progress(0.0, step_s=5.0))
        clock.now += 5.0
    assert seen == [pytest.approx(0.05 * step) for step in range(1, 21)]


def test_a_later_attempt_goes_on_from_the_share_that_was_over() -> None:
    clock = Clock()
    limit = TimeLimit(10 + SAVING_S, clock=clock)
    assert limit.progress(0.6, step_s=0.0) == 0.6
    clock.now += 5.0
    assert limit.progress(0.6, step_s=0.0) == pytest.approx(0.8)
    clock.now += 5.0
    assert limit.progress(0.6, step_s=0.0) == 1.0


def test_without_a_limit_the_clock_never_counts() -> None:
    clock = Clock()
    limit = TimeLimit(clock=clock)
    clock.now += 1e9
    assert limit.progress(0.0, step_s=1.0) == 0.0


def test_a_limit_that_is_not_gradual_only_ends() -> None:
    clock = Clock()
    limit = TimeLimit(10 + SAVING_S, gradual=False, clock=clock)
    clock.now += 9.0
    assert limit.progress(0.0, step_s=0.5) == 0.0
    assert limit.progress(0.0, step_s=1.5) == 1.0


def test_what_an_order_took_to_arrive_is_no_longer_left_unless_clocks_differ(tmp_path: Path) -> None:
    order = dispatch(tmp_path, epochs=1)
    assert order.left_s == math.inf
    assert 6.5 < replace(order, time_s=10.0, sent_at=time.time() - 3).left_s < 7.1
    for wrong in (-86_400.0, 2 * MOST_TRAVEL_S):
        assert replace(order, time_s=10.0, sent_at=time.time() - wrong).left_s == 10.0


@pytest.fixture
def slow_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each training step takes a twentieth of a second longer."""
    real = train.training_step

    def slow(*args: object, **options: object) -> torch.Tensor:
        time.sleep(0.05)
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(train, "training_step", slow)


def _train(order: Dispatch) -> tuple[list[Measurement], TrialResult]:
    measurements = []
    with closing(TrialRun(order, digits())) as run:
        while True:
            progress = run.epoch()
            if progress.measurement:
                measurements.append(progress.measurement)
            if progress.result:
                return measurements, progress.result


def _limited(directory: Path, time_s: float, epochs: int = 500) -> Dispatch:
    return replace(dispatch(directory, epochs=epochs), time_s=time_s, sent_at=time.time())


@pytest.mark.usefixtures("slow_steps")
def test_a_trial_ends_with_the_time_within_an_epoch_and_is_complete(tmp_path: Path) -> None:
    began = time.monotonic()
    measurements, result = _train(_limited(tmp_path, 4.0))
    assert time.monotonic() - began < 6.0
    assert result.state is TrialState.COMPLETED
    *_, last = measurements
    assert last.last and 0 < last.share <= 1
    assert not any(each.last for each in measurements[:-1])
    rates = [each.learning_rate for each in measurements]
    assert rates[-1] < 0.1 * max(rates), "annealed when the time ends"
    best = TrialDirectory(tmp_path).load_best()
    assert best is not None and len(best.probabilities) == len(digits().validation)


@pytest.mark.usefixtures("slow_steps")
def test_a_time_that_is_too_short_for_one_epoch_still_gives_a_model(tmp_path: Path) -> None:
    measurements, result = _train(_limited(tmp_path, 0.1, epochs=1))
    assert result.state is TrialState.COMPLETED
    [only] = measurements
    assert only.last and only.share < 0.5
    assert TrialDirectory(tmp_path).load_best() is not None


def test_a_limit_that_is_far_away_changes_no_bit(tmp_path: Path) -> None:
    free, _ = _train(dispatch(tmp_path / "free", epochs=2))
    limited, _ = _train(_limited(tmp_path / "limited", 3600.0, epochs=2))
    assert [each.train_loss for each in free] == [each.train_loss for each in limited]
    assert not any(each.last for each in limited)


@pytest.mark.usefixtures("slow_steps")
def test_a_trial_that_was_broken_off_goes_on_where_its_schedule_was(tmp_path: Path) -> None:
    order = _limited(tmp_path, 6.0)
    measurements = []
    with closing(TrialRun(order, digits())) as run:
        while len(measurements) < 2:
            if (progress := run.epoch()).measurement:
                measurements.append(progress.measurement)
    saved = TrialDirectory(tmp_path).load_epoch()
    assert saved is not None and saved["progress"] > 2 / 500, "the clock is ahead of the epochs"
    again = replace(_limited(tmp_path, 2.0), reported=2)
    later, result = _train(again)
    assert result.state is TrialState.COMPLETED
    assert later[0].learning_rate <= measurements[-1].learning_rate
    assert later[-1].last and later[-1].epoch == 2 + len(later)
