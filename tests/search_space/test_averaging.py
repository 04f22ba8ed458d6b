"""Averages of weights: what a run of steps with these rates remembers."""

from __future__ import annotations

import pytest

from convscout.search_space.averaging import SWA_START, averaging_rate


def follow(kind: str, values: list[float], decay: float = 0.9) -> float:
    average = values[0]
    for step, value in enumerate(values[1:], start=1):
        average += averaging_rate(kind, step, len(values) - 1, decay=decay) * (value - average)
    return average


def test_ema_forgets_by_its_decay_once_it_is_warm() -> None:
    assert averaging_rate("ema", 10_000, 20_000, decay=0.99) == pytest.approx(0.01)
    assert averaging_rate("ema", 1, 20_000, decay=0.99) == pytest.approx(0.9)
    assert follow("ema", [100.0] + [1.0] * 50, decay=0.999) == pytest.approx(1.0, abs=1e-3)  # not its start


def test_swa_is_the_mean_of_the_last_quarter() -> None:
    values = [float(step**2) for step in range(101)]
    last = values[int(SWA_START * 100) + 1 :]
    assert follow("swa", values) == pytest.approx(sum(last) / len(last))
    assert follow("swa", values[:2]) == values[1]


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_rates_are_shares(kind: str) -> None:
    assert all(0 < averaging_rate(kind, step, 40, decay=0.99) <= 1 for step in range(1, 41))
