"""How long epochs will take is said once, when enough steps tell."""

from __future__ import annotations

import pytest

from convscout.trials.training.first_steps import FirstSteps


def said(step_s: float, steps: int, warm_up_s: float = 30.0) -> list[tuple[int, float]]:
    """After which step something was said, and what, where steps take ``step_s`` once it is warm."""
    now = 0.0
    watch = FirstSteps(900, 300, steps, clock=lambda: now)
    found = []
    for taken in range(1, steps + 1):
        now += step_s if taken > 3 else warm_up_s
        if epoch_s := watch.epoch_s(taken):
            found.append((taken, epoch_s))
    return found


@pytest.mark.parametrize(("step_s", "when"), [(0.25, 11), (1.0, 7), (0.01, 203)])
def test_it_is_said_once_after_enough_steps_and_seconds(step_s: float, when: int) -> None:
    [(taken, epoch_s)] = said(step_s, steps=1000)
    assert taken == pytest.approx(when, abs=1)  # where sums of fractions end a step later
    assert epoch_s == pytest.approx(1000 * step_s * 10 / 9), (
        "steps, and a third of a step's time an image judged"
    )


def test_short_epochs_need_no_prediction() -> None:
    assert said(0.01, steps=100) == []
