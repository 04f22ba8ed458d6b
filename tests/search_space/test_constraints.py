"""Limits: each is checked, and the error says which, by how much and what is allowed."""

from __future__ import annotations

import pytest

from search_space.complexity import Complexity
from search_space.constraints import Limits
from search_space.errors import LimitExceededError

COSTLY = Complexity(params=2_000_000, flops=40_000_000, activations=9, peak_train_bytes=3_000_000_000)


def test_what_is_at_a_limit_passes() -> None:
    Limits().check(COSTLY)
    Limits(max_params=2_000_000, max_flops=40_000_000, max_peak_train_bytes=3_000_000_000).check(COSTLY)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(max_params=1_999_999), "params 2,000,000 exceeds max_params = 1,999,999"),
        (Limits(max_flops=1), "flops 40,000,000 exceeds max_flops = 1"),
        (Limits(max_peak_train_bytes=0), "peak_train_bytes 3,000,000,000 exceeds max_peak_train_bytes = 0"),
    ],
)
def test_what_is_over_a_limit_is_refused(limits: Limits, message: str) -> None:
    with pytest.raises(LimitExceededError) as caught:
        limits.check(COSTLY)
    assert caught.value.message == message


def test_all_exceeded_limits_are_named() -> None:
    with pytest.raises(LimitExceededError, match=r"max_params = 1; .*max_flops = 2"):
        Limits(max_params=1, max_flops=2).check(COSTLY)
