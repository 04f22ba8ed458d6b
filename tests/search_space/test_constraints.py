"""Limits: each is checked, and the error says which, by how much and what is allowed."""

from __future__ import annotations

import pytest

from convscout.search_space.complexity import Complexity
from convscout.search_space.constraints import Limits
from convscout.search_space.errors import LimitExceededError

COSTLY = Complexity(params=2_000_000, flops=40_000_000, activations=9, peak_train_bytes=3_000_000_000)


def test_what_is_at_a_limit_passes() -> None:
    Limits().check(COSTLY, latency_s=9)
    Limits(
        max_params=2_000_000, max_flops=40_000_000, max_memory=3_000_000_000, max_latency=0.005
    ).check(COSTLY, latency_s=0.005)  # fmt: skip


@pytest.mark.parametrize(
    ("limits", "message", "excess"),
    [
        (Limits(max_params=1_000_000), "2,000,000 params exceed max_params = 1,000,000", 1.0),
        (
            Limits(max_flops=10_000_000),
            "40,000,000 multiply-adds an image exceed max_flops = 10,000,000",
            3.0,
        ),
        (
            Limits(max_memory=2_000_000_000),
            "3,000,000,000 bytes of training memory exceed max_memory = 2,000,000,000",
            0.5,
        ),
        (Limits(max_latency=0.004), "0.006 s for an image exceed max_latency = 0.004", 0.5),
    ],
)
def test_what_is_over_a_limit_is_refused(limits: Limits, message: str, excess: float) -> None:
    with pytest.raises(LimitExceededError) as caught:
        limits.check(COSTLY, latency_s=0.006)
    assert caught.value.message == message
    assert list(caught.value.excess.values()) == [pytest.approx(excess)]


def test_all_exceeded_limits_are_named() -> None:
    with pytest.raises(LimitExceededError, match=r"max_params = 1; .*max_flops = 2"):
        Limits(max_params=1, max_flops=2).check(COSTLY)


def test_an_unknown_latency_is_passed_over() -> None:
    Limits(max_latency=1e-9).check(COSTLY)
