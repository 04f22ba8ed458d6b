"""Latency: a larger network takes longer, and measuring leaves nothing changed."""

from __future__ import annotations

import torch

from convscout.search_space.architecture import ImageSpec
from convscout.search_space.latency import measure_latency
from tests.support.variants import variant_of

IMAGE = ImageSpec(in_channels=3, image_size=32, num_classes=10)


def test_resnet110_takes_longer_than_resnet20() -> None:
    small, large = (
        measure_latency(variant_of("resnet", name), IMAGE, torch.device("cpu"))
        for name in ("resnet20", "resnet110")
    )
    assert 0 < 2 * small < large  # five times the layers


def test_threads_and_random_state_stay_as_they_were() -> None:
    before = torch.get_rng_state(), torch.get_num_threads()
    measure_latency(variant_of("lenet", "lenet5"), IMAGE, torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]
