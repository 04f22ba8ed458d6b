"""Learning-rate schedules: their published shapes, and the warm-up before them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from convscout.search_space.schedules import RISING, SCHEDULES, factor_at


@pytest.mark.parametrize(
    ("name", "progress", "factor"),
    [
        ("constant", 0.7, 1.0),
        ("cosine", 0.0, 1.0),
        ("cosine", 1 / 3, 0.75),
        ("cosine", 0.5, 0.5),
        ("cosine", 1.0, 0.0),
        ("linear", 0.25, 0.75),
        ("linear", 1.0, 0.0),
        ("step", 0.49, 1.0),
        ("step", 0.5, 0.1),
        ("step", 0.75, 0.01),
        ("exponential", 0.5, 0.1),
        ("exponential", 1.0, 0.01),
        ("one_cycle", 0.0, 0.04),
        ("one_cycle", 0.3, 1.0),
        ("one_cycle", 0.65, 0.5),
        ("one_cycle", 1.0, 0.0),
        ("cosine_restarts", 1 / 14, 0.5),
        ("cosine_restarts", 1 / 7, 1.0),
        ("cosine_restarts", 2 / 7, 0.5),
        ("cosine_restarts", 3 / 7, 1.0),
        ("cosine_restarts", 1.0, 0.0),
    ],
)
def test_shapes(name: str, progress: float, factor: float) -> None:
    assert factor_at(name, progress, warmup=0.0) == pytest.approx(factor)


@pytest.mark.parametrize("warmup", [0.1, 0.3])
@pytest.mark.parametrize("name", sorted(set(SCHEDULES) - {*RISING, "cosine_restarts"}))
def test_warm_up_rises_to_the_peak_and_then_nothing_rises(name: str, warmup: float) -> None:
    factors = [factor_at(name, step / 1000, warmup=warmup) for step in range(1001)]
    peak = int(1000 * warmup)
    assert factors[:peak] == pytest.approx([step / peak for step in range(peak)])
    assert factors[peak] == pytest.approx(1.0)
    assert all(
        later <= earlier + 1e-12 for earlier, later in zip(factors[peak:], factors[peak + 1 :], strict=False)
    )
    assert all(0 <= factor <= 1 for factor in factors)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_factors_stay_between_nothing_and_the_peak_and_reach_it(name: str) -> None:
    factors = [factor_at(name, step / 1000, warmup=0.1) for step in range(1001)]
    assert min(factors) >= 0
    assert max(factors) == pytest.approx(1.0)
    jumps = [abs(later - earlier) for earlier, later in pairwise(factors)]
    restarts = {"cosine_restarts": 2, "step": 2}.get(name, 0)
    assert sum(jump > 0.02 for jump in jumps) == restarts


@pytest.mark.parametrize("name", RISING)
def test_a_schedule_that_rises_by_itself_has_no_other_warm_up(name: str) -> None:
    assert factor_at(name, 0.2, warmup=0.5) == factor_at(name, 0.2, warmup=0.0)
