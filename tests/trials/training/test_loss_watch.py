"""A diverged epoch ends soon, on the processor and on a GPU."""

from __future__ import annotations

import math

import pytest
import torch

from convscout.search_space.errors import DivergedError
from convscout.trials.training.loss_watch import INTERVAL, LossWatch

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_noticed_within_two_intervals(device: str, bad: float) -> None:
    watch = LossWatch(epoch=3)
    for _ in range(5 * INTERVAL + 1):
        watch.see(torch.tensor(0.5, device=device))
    seen = 0
    with pytest.raises(DivergedError, match=f"the training loss became {bad} in epoch 3"):
        for _ in range(10 * INTERVAL):
            seen += 1
            watch.see(torch.tensor(bad, device=device))
    assert seen <= 2 * INTERVAL
