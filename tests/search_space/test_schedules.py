"""Learning-rate schedules: their published shapes, and the warm-up before them."""

from __future__ import annotations

import pytest

from search_space.schedules import SCHEDULES, factor_at


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
    ],
)
def test_shapes(name: str, progress: float, factor: float) -> None:
    assert factor_at(name, progress, warmup=0.0) == pytest.approx(factor)


@pytest.mark.parametrize("warmup", [0.1, 0.3])
@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_warm_up_rises_to_the_peak_and_then_nothing_rises(name: str, warmup: float) -> None:
    factors = [factor_at(name, step / 1000, warmup=warmup) for step in range(1001)]
    peak = int(1000 * warmup)
    assert factors[:peak] == pytest.approx([step / peak for step in range(peak)])
    assert factors[peak] == pytest.approx(1.0)
    assert all(
        later <= earlier + 1e-12 for earlier, later in zip(factors[peak:], factors[peak + 1 :], strict=False)
    )
    assert all(0 <= factor <= 1 for factor in factors)
