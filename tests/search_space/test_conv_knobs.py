"""The knobs that convolutional families share: every legal value builds, learns and costs what it should."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.layers import ConvKnobs

CONVOLUTIONAL = [name for name, family in families.items() if issubclass(family, ConvKnobs)]
IMAGE = ImageSpec(in_channels=3, image_size=16, num_classes=10)


RARE = {"norm": "group", "dropout_kind": "block", "activation": "prelu"}


@pytest.mark.parametrize("family", CONVOLUTIONAL)
def test_values_that_are_seldom_sampled_give_finite_gradients(family: str) -> None:
    knobs = families.get(family).knobs()
    legal = {field: value for field, value in RARE.items() if knobs[field].broken_rule(value) is None}
    assert legal
    net = families.get(family)(**legal).build(IMAGE)
    cross_entropy(net(torch.randn(4, 3, 16, 16)), torch.arange(4)).backward()
    for name, parameter in net.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("family", CONVOLUTIONAL)
def test_the_kind_of_norm_costs_the_same_and_is_everywhere(family: str) -> None:
    with torch.device("meta"):
        nets = [families.get(family)(norm=norm).build(IMAGE) for norm in ("batch", "group")]
    counts = [sum(parameter.numel() for parameter in net.parameters()) for net in nets]
    assert counts[0] == counts[1]
    if families.get(family)().norm_placement != "none":
        assert any(isinstance(module, nn.GroupNorm) for module in nets[1].modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in nets[1].modules())


@pytest.mark.parametrize("family", ["lenet", "vgg"])
@pytest.mark.parametrize("pool", ["max", "avg", "strided", "fractional"])
def test_every_pooling_builds_at_every_size(family: str, pool: str) -> None:
    for side in (8, 28, 96):
        image = ImageSpec(in_channels=1, image_size=side, num_classes=10)
        net = families.get(family)(pool=pool, width=8).build(image)
        logits = net(torch.randn(2, 1, side, side))
        cross_entropy(logits, torch.tensor([0, 1])).backward()
        assert all(parameter.grad is not None for parameter in net.parameters())
