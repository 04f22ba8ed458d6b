"""Initialization: what each way of starting promises, and that every family obeys its knob."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.initialization import INITS, Silenced, initialize
from convscout.search_space.layers import ConvKnobs

IMAGE = ImageSpec(in_channels=3, image_size=32, num_classes=10)
CONVOLUTIONAL = [
    name for name, family in families.items() if issubclass(family, ConvKnobs) and "init" in family.knobs()
]


def started(init: str, conv: nn.Conv2d) -> nn.Conv2d:
    torch.manual_seed(0)
    initialize(conv, init)
    assert conv.bias is not None
    assert (conv.bias == 0).all()
    return conv


@pytest.mark.parametrize(
    ("init", "deviation"),
    [("he", (2 / (9 * 48)) ** 0.5), ("xavier", (2 / (9 * 80)) ** 0.5), ("small_normal", 0.01)],
)
def test_deviations_are_the_published_ones(init: str, deviation: float) -> None:
    conv = started(init, nn.Conv2d(32, 48, 3))
    assert conv.weight.std().item() == pytest.approx(deviation, rel=0.05)


def test_orthogonal_filters() -> None:
    rows = started("orthogonal", nn.Conv2d(32, 48, 3)).weight.flatten(1)  # (48, 288)
    torch.testing.assert_close(rows @ rows.T, 2 * torch.eye(48), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("in_channels", "out_channels", "groups"), [(4, 7, 1), (7, 4, 1), (4, 4, 4)])
def test_dirac_filters_pass_maps_on(in_channels: int, out_channels: int, groups: int) -> None:
    conv = started("dirac", nn.Conv2d(in_channels, out_channels, 3, padding=1, groups=groups))
    maps = torch.randn(2, in_channels, 5, 5)
    passed = min(in_channels, out_channels)
    torch.testing.assert_close(conv(maps)[:, :passed], maps[:, :passed])
    assert (conv.weight[passed:].std() > 0.1) if out_channels > in_channels else True


@pytest.mark.parametrize("family", CONVOLUTIONAL)
def test_every_family_starts_as_its_knob_says(family: str) -> None:
    nets = {}
    for init in INITS:
        torch.manual_seed(0)
        nets[init] = families.get(family)(init=init).build(IMAGE)
    states = {init: net.state_dict() for init, net in nets.items()}
    assert all(value.isfinite().all() for state in states.values() for value in state.values())
    like_he = {
        init
        for init, state in states.items()
        if all(torch.equal(value, states["he"][key]) for key, value in state.items())
    }
    residual = any(isinstance(module, Silenced) for module in nets["he"].modules())
    assert like_he == ({"he"} if residual else {"he", "zero_residual"})


@pytest.mark.parametrize("family", [name for name in CONVOLUTIONAL if "resn" in name])
def test_silenced_residual_branches_are_zero(family: str) -> None:
    net = families.get(family)(init="zero_residual").build(IMAGE)
    branches = [module.branch for module in net.modules() if isinstance(module, Silenced)]
    assert branches
    for branch in branches:
        conv = next(module for module in branch.modules() if isinstance(module, nn.Conv2d))
        assert (branch(torch.randn(2, conv.in_channels, 8, 8)) == 0).all()
