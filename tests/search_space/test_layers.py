"""Shared blocks: where the norm goes, when there is a bias, what dropout drops, how weights start."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.geometry import stage_strides, stage_widths, stem_reduction
from convscout.search_space.initialization import Silenced
from convscout.search_space.layers import (
    ACTIVATIONS,
    POOLINGS,
    ConvNormAct,
    SqueezeExcitation,
    SqueezeExcitationKnobs,
    initialize,
    pool_layer,
)

SMALL = ImageSpec(in_channels=3, image_size=32, num_classes=10)
EXCITABLE = [name for name, family in families.items() if issubclass(family, SqueezeExcitationKnobs)]


@dataclass(frozen=True, kw_only=True)
class Knobs(SqueezeExcitationKnobs):
    name = "knobs"


@pytest.mark.parametrize(
    ("placement", "activated", "layers", "bias"),
    [
        ("before", True, ["conv", "norm", "act"], False),
        ("after", True, ["conv", "act", "norm"], True),
        ("none", True, ["conv", "act"], True),
        ("before", False, ["conv", "norm"], False),
        ("after", False, ["conv", "norm"], False),
        ("none", False, ["conv"], True),
    ],
)
def test_order_and_bias(placement: str, activated: bool, layers: list[str], bias: bool) -> None:
    block = ConvNormAct(3, 4, Knobs(norm_placement=placement), activated=activated)
    assert [name for name, _ in block.named_children()] == layers
    conv = next(block.children())
    assert isinstance(conv, nn.Conv2d)
    assert (conv.bias is not None) is bias


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_stride_alone_shrinks(kernel_size: int, stride: int) -> None:
    block = ConvNormAct(2, 4, Knobs(), kernel_size=kernel_size, stride=stride, groups=2)
    assert block(torch.randn(2, 2, 7, 7)).shape == (2, 4, -(-7 // stride), -(-7 // stride))


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_bend(name: str) -> None:
    layer = Knobs(activation=name).activation_layer()
    assert not torch.allclose(layer(torch.tensor([-2.0])), -layer(torch.tensor([2.0]))) or name == "tanh"
    assert layer(torch.tensor([3.0])) < 3.2  # SELU's slope is 1.05


def test_spatial_dropout_drops_whole_maps_and_element_dropout_single_pixels() -> None:
    torch.manual_seed(0)
    maps = torch.ones(8, 16, 4, 4)
    shares = {
        kind: (Knobs(dropout_kind=kind, dropout=0.5).dropout_layer()(maps) == 0).float().mean((2, 3))
        for kind in ("none", "element", "spatial")
    }
    assert (shares["none"] == 0).all()
    assert set(shares["spatial"].unique().tolist()) == {0.0, 1.0}
    assert len(shares["element"].unique()) > 4


@pytest.mark.parametrize("side", [1, 2, 8])
def test_drop_block_drops_squares_and_keeps_the_mean(side: int) -> None:
    torch.manual_seed(0)
    layer = Knobs(dropout_kind="block", dropout=0.2).dropout_layer()
    maps = torch.ones(64, 32, side, side)
    dropped = layer(maps)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.01)
    zeros = (dropped == 0).float()
    assert 0.1 < zeros.mean() < 0.25
    if side == 8:  # every hole is as wide as a block
        corners = -F.max_pool2d(-zeros, 3, 1)  # where a whole block fits into a hole
        assert torch.equal(F.max_pool2d(F.pad(corners, (2, 2, 2, 2)), 3, 1), zeros)
    assert torch.equal(layer.eval()(maps), maps)


@pytest.mark.parametrize(
    ("channels", "groups"), [(1, 1), (6, 1), (16, 2), (20, 2), (36, 4), (64, 8), (512, 64)]
)
def test_groups_of_a_norm_hold_eight_channels_or_more(channels: int, groups: int) -> None:
    norm = Knobs(norm="group").norm_layer(channels)
    assert isinstance(norm, nn.GroupNorm)
    assert norm.num_groups == groups


@pytest.mark.parametrize("kind", POOLINGS)
@pytest.mark.parametrize("side", [2, 5, 8])
def test_poolings_shrink_alike_and_answer_alike_outside_training(kind: str, side: int) -> None:
    layer, maps = pool_layer(kind, 4), torch.randn(2, 4, side, side)
    assert layer(maps).shape == (2, 4, side // 2, side // 2)
    layer.eval()
    assert layer(maps).shape == (2, 4, side // 2, side // 2)
    assert torch.equal(layer(maps), layer(maps))
    assert torch.equal(pool_layer(kind, 4, 1)(maps), maps)


def test_fractional_pooling_moves_its_cells_in_training() -> None:
    torch.manual_seed(0)
    layer, maps = pool_layer("fractional", 1), torch.arange(64.0).view(1, 1, 8, 8)
    assert len({tuple(layer(maps).flatten().tolist()) for _ in range(20)}) > 3


def test_squeeze_and_excitation_is_the_papers() -> None:
    layer = SqueezeExcitation(2, 1, Knobs())
    for name, values in {
        "squeeze.weight": [[2.0, -1.0]], "squeeze.bias": [0.5],
        "expand.weight": [[1.0], [-2.0]], "expand.bias": [0.0, 4.0],
    }.items():  # fmt: skip
        layer.excitation.get_parameter(name).data = torch.tensor(values)
    maps = torch.tensor([[[[1.0, 3.0]], [[0.0, 2.0]]], [[[-1.0, -3.0]], [[5.0, 1.0]]]])  # (2, 2, 1, 2)
    # means (2, 1) and (-2, 3); squeezed 2 · 2 - 1 + 0.5 = 3.5 and relu(-4 - 3 + 0.5) = 0
    gates = torch.tensor([[3.5, 4 - 2 * 3.5], [0.0, 4.0]]).sigmoid()
    torch.testing.assert_close(layer(maps), maps * gates.view(2, 2, 1, 1))


@pytest.mark.parametrize(
    ("channels", "reduced", "reduction", "units"), [(64, None, 16, 4), (96, 16, 4, 4), (8, None, 16, 1)]
)
def test_the_reduction_says_how_many_units_weight_the_maps(
    channels: int, reduced: int | None, reduction: int, units: int
) -> None:
    knobs = Knobs(squeeze_excitation=True, se_reduction=reduction, activation="silu")
    (layer,) = knobs.squeeze_excitation_layers(channels, reduced=reduced)
    assert isinstance(layer, SqueezeExcitation)
    squeeze, act, expand, gate = layer.excitation
    assert squeeze.weight.shape == (units, channels)
    assert expand.weight.shape == (channels, units)
    assert isinstance(act, nn.SiLU)
    assert isinstance(gate, nn.Sigmoid)
    assert Knobs(se_reduction=reduction).squeeze_excitation_layers(channels, reduced=reduced) == []


@pytest.mark.parametrize("family", EXCITABLE)
def test_every_block_is_excited_where_asked_for(family: str) -> None:
    nets = [
        families.get(family)(squeeze_excitation=on, norm_placement="before", init="zero_residual").build(
            SMALL
        )
        for on in (False, True)
    ]
    counts = [sum(isinstance(module, SqueezeExcitation) for module in net.modules()) for net in nets]
    num_blocks = sum(hasattr(module, "branch") or hasattr(module, "branches") for module in nets[1].modules())
    forks = 2 if family == "inception_v3" else 0  # concatenations within the block of figure 7
    assert counts == [0, num_blocks - forks]
    assert counts[1] > 0
    logits = nets[1](torch.randn(2, 3, 32, 32))
    F.cross_entropy(logits, torch.tensor([0, 1])).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in nets[1].parameters())


@pytest.mark.parametrize("family", [name for name in EXCITABLE if "resn" in name])
@pytest.mark.parametrize("init", ["he", "zero_residual"])
def test_an_excited_branch_is_silenced_like_any_other(family: str, init: str) -> None:
    net = families.get(family)(squeeze_excitation=True, init=init).build(SMALL)
    branches = [module.branch for module in net.modules() if isinstance(module, Silenced)]
    for branch in branches:
        assert isinstance(branch[-1], SqueezeExcitation)
        conv = next(module for module in branch.modules() if isinstance(module, nn.Conv2d))
        assert (branch(torch.randn(2, conv.in_channels, 8, 8)) == 0).all() == (init == "zero_residual")


@pytest.mark.parametrize("groups", [1, 64])
def test_he_initialisation_keeps_the_variance_of_gradients(groups: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(64, 64, 3, groups=groups)
    initialize(conv)
    assert conv.weight.std().item() == pytest.approx((2 / (9 * 64 / groups)) ** 0.5, rel=0.1)
    assert conv.bias is not None
    assert (conv.bias == 0).all()


def test_geometry_fits_the_image() -> None:
    assert [stem_reduction(side) for side in (8, 32, 64, 96, 224)] == [1, 1, 2, 2, 4]
    assert stage_strides(56, 4) == (1, 2, 2, 2)
    assert stage_strides(28, 4) == (1, 2, 2, 2)  # 28, 14, 7, 4
    assert stage_strides(8, 4) == (1, 2, 1, 1)
    assert stage_widths(16, 5) == (16, 32, 64, 128, 128)
