"""What is trained as one by ``benchmarks.fused`` is what is trained in turn."""

from __future__ import annotations

import pytest
import torch

from benchmarks.fused import Networks
from benchmarks.workloads import architecture
from convscout.search_space.architecture import ImageSpec
from convscout.trials.compute.precision import Precision

COUNT, BATCH, STEPS = 3, 8, 3


@pytest.mark.parametrize("network", ["lenet", "resnet20"])
def test_fused_networks_learn_what_each_learns_alone(network: str) -> None:
    image = ImageSpec(in_channels=3, image_size=16, num_classes=10)
    modules = []
    for seed in range(COUNT):
        torch.manual_seed(seed)
        modules.append(architecture(network).build(image).double().train())  # so that rounding cannot hide
    precision = Precision(torch.device("cpu"), torch.float32)  # which is: without autocast
    networks = Networks(modules, precision)
    in_turn, fused = networks.in_turn(), networks.fused()
    losses = []
    for _ in range(STEPS):
        images = torch.randn(COUNT, BATCH, 3, 16, 16, dtype=torch.float64)
        labels = torch.randint(10, (COUNT, BATCH))
        expected = in_turn(images, labels)
        torch.testing.assert_close(fused(images, labels), expected, rtol=1e-5, atol=1e-5)
        losses.append(expected)
    assert len({round(float(loss), 4) for each in losses for loss in each}) == COUNT * STEPS
