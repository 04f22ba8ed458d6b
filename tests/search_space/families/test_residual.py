"""ResNet's shortcuts and its kin: pre-activation, width, cardinality; and the published numbers of parameters."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from convscout.search_space.architecture import ImageSpec
from convscout.search_space.errors import ConfigError
from convscout.search_space.families.preact_resnet import PreActBlock, PreActResNetConfig
from convscout.search_space.families.resnet import (
    Block,
    PaddedShortcut,
    ResidualBlock,
    ResNetConfig,
    make_shortcut,
)
from convscout.search_space.families.resnext import ResNeXtConfig
from convscout.search_space.families.wide_resnet import WideResNetConfig
from convscout.search_space.layers import ConvNormAct, NormAct, bare_conv
from tests.support.variants import variant_of

LARGE = ImageSpec(in_channels=3, image_size=224, num_classes=1000)
SMALL = ImageSpec(in_channels=3, image_size=32, num_classes=10)


def num_params(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def residual_blocks(model: nn.Module) -> list[ResidualBlock]:
    return [module for module in model.modules() if isinstance(module, ResidualBlock)]


@pytest.mark.parametrize(
    ("family", "variant"),
    [
        ("resnet", "resnet34"),
        ("resnet", "resnet101"),
        ("resnet", "resnet152"),
        ("resnext", "resnext50_32x4d"),
        ("resnext", "resnext101_32x8d"),
        ("resnext", "resnext101_64x4d"),
        ("wide_resnet", "wide_resnet50_2"),
        ("wide_resnet", "wide_resnet101_2"),
    ],
)
def test_every_tensor_has_the_shape_of_torchvisions(family: str, variant: str) -> None:
    with torch.device("meta"):
        model = variant_of(family, variant).build(LARGE)
        reference = getattr(torchvision.models, variant)(weights=None)
    shapes, expected = ([tensor.shape for tensor in net.state_dict().values()] for net in (model, reference))
    assert shapes == expected


@pytest.mark.parametrize(
    ("family", "variant", "image", "params"),
    [
        ("resnext", "resnext50_32x4d", LARGE, 25_028_904),
        ("wide_resnet", "wide_resnet50_2", LARGE, 68_883_240),
        ("resnet", "resnet18d", LARGE, 11_708_744),  # the two of He et al. (2019), as timm counts them
        ("resnet", "resnet50d", LARGE, 25_576_264),
        ("preact_resnet", "preact_resnet110", SMALL, 1_727_962),  # 1.7 M
        ("preact_resnet", "preact_resnet164", SMALL, 1_703_258),  # 1.7 M
        ("wide_resnet", "wrn_16_4", SMALL, 2_748_890),  # 2.7 M
        ("wide_resnet", "wrn_16_8", SMALL, 10_961_370),  # 11.0 M
        ("wide_resnet", "wrn_22_8", SMALL, 17_158_106),  # 17.2 M
        ("wide_resnet", "wrn_28_10", SMALL, 36_479_194),  # 36.5 M
        ("wide_resnet", "wrn_40_4", SMALL, 8_949_210),  # 8.9 M
        ("resnext", "resnext29_8x64d", SMALL, 34_426_698),  # 34.4 M
        ("resnext", "resnext29_16x64d", SMALL, 68_155_210),  # 68.1 M
    ],
)
def test_variants_have_the_published_number_of_parameters(
    family: str, variant: str, image: ImageSpec, params: int
) -> None:
    with torch.device("meta"):
        model = variant_of(family, variant).build(image)
    assert num_params(model) == params


@pytest.mark.parametrize(
    ("stem_stride", "size", "reduction"),
    [(1, 32, 1), (2, 32, 2), (4, 32, 4), (2, 96, 2), (1, 224, 4), (2, 224, 4)],
)
def test_the_stem_shrinks_small_images_if_asked_to_and_large_ones_anyhow(
    stem_stride: int, size: int, reduction: int
) -> None:
    image = ImageSpec(in_channels=3, image_size=size, num_classes=10)
    stem = ResNetConfig(width=8, stem_stride=stem_stride).build(image).get_submodule("stem")
    assert stem(torch.randn(2, 3, size, size)).shape == (2, 8, size // reduction, size // reduction)


@pytest.mark.parametrize("kind", ["A", "B", "C", "D"])
@pytest.mark.parametrize(("channels", "stride"), [((4, 4), 1), ((4, 8), 1), ((4, 8), 2), ((4, 4), 2)])
def test_shortcuts_have_the_shape_of_the_branch(kind: str, channels: tuple[int, int], stride: int) -> None:
    shortcut = make_shortcut(*channels, stride, kind, bare_conv)
    assert shortcut(torch.randn(2, 4, 7, 7)).shape == (2, channels[1], -(-7 // stride), -(-7 // stride))
    assert isinstance(shortcut, nn.Identity) == (kind != "C" and channels == (4, 4) and stride == 1)


def test_option_a_adds_no_parameters_and_keeps_the_maps() -> None:
    maps = torch.randn(2, 4, 8, 8)
    shortcut = make_shortcut(4, 6, 2, "A", bare_conv)
    assert isinstance(shortcut, PaddedShortcut)
    assert num_params(shortcut) == 0
    assert torch.equal(shortcut(maps)[:, :4], maps[:, :, ::2, ::2])
    assert (shortcut(maps)[:, 4:] == 0).all()


def test_option_d_sees_every_pixel_and_option_b_a_quarter_of_them() -> None:
    for kind, seen in (("B", 16), ("D", 49)):
        maps = torch.randn(1, 1, 7, 7, requires_grad=True)
        make_shortcut(1, 2, 2, kind, bare_conv)(maps).sum().backward()
        assert maps.grad is not None
        assert maps.grad.count_nonzero() == seen


def test_option_d_averages_only_pixels_that_exist() -> None:
    shortcut = make_shortcut(1, 1, 2, "D", bare_conv)
    outputs = shortcut(torch.ones(1, 1, 7, 7))
    torch.testing.assert_close(outputs, outputs[:, :, :1, :1].expand_as(outputs))


@pytest.mark.parametrize(("kind", "projections"), [("A", 0), ("B", 3), ("C", 8), ("D", 3)])
def test_options_project_where_the_paper_says(kind: str, projections: int) -> None:
    config = ResNetConfig(shortcut=kind, depth1=2, depth2=2, depth3=2, depth4=2)
    shortcuts = [block.shortcut for block in residual_blocks(config.build(SMALL))]
    assert sum(num_params(shortcut) > 0 for shortcut in shortcuts) == projections


def test_a_pre_activated_sum_is_left_alone() -> None:
    block = PreActBlock(8, 8, 1, PreActResNetConfig(width=8))
    block.silence()
    maps = -torch.rand(2, 8, 6, 6)
    assert torch.equal(block(maps), maps)
    assert (Block(8, 8, 1, ResNetConfig(width=8))(maps) >= 0).all()


def test_a_projection_starts_from_activated_maps() -> None:
    block = PreActBlock(8, 16, 2, PreActResNetConfig(width=8))
    block.silence()
    maps = torch.randn(2, 8, 6, 6)
    torch.testing.assert_close(
        block(maps), block.shortcut(torch.relu(block.preact.get_submodule("norm")(maps)))
    )


def test_the_first_block_relies_on_the_stem_and_the_last_is_activated() -> None:
    net = PreActResNetConfig().build(SMALL)
    first, *others = residual_blocks(net)
    assert isinstance(first.get_submodule("preact"), nn.Identity)
    assert all(isinstance(other.get_submodule("preact"), NormAct) for other in others)
    assert (net.forward_features(torch.randn(2, 3, 32, 32)) >= 0).all()


@pytest.mark.parametrize("family", [PreActResNetConfig, WideResNetConfig])
def test_pre_activation_is_before_the_activation_or_refused(family: type[PreActResNetConfig]) -> None:
    with pytest.raises(ConfigError, match="norm_placement: must be one of before, but got 'after'"):
        family(norm_placement="after")


def test_a_wide_block_drops_between_its_convolutions() -> None:
    block = residual_blocks(WideResNetConfig(dropout_kind="element", dropout=0.3).build(SMALL))[0]
    assert [type(layer) for layer in block.branch] == [ConvNormAct, nn.Dropout, nn.Conv2d]
    assert block.branch.get_submodule("1").p == 0.3


@pytest.mark.parametrize("widen", [1, 2, 4])
def test_widening_multiplies_the_filters_of_blocks_but_not_of_the_stem(widen: int) -> None:
    net = WideResNetConfig(width=8, widen=widen, depth4=0).build(SMALL)
    assert net.get_submodule("stem.0.conv").out_channels == 8
    widths = [block.out_channels for block in residual_blocks(net)]
    assert widths == [8 * widen, 16 * widen, 32 * widen]


@pytest.mark.parametrize(("cardinality", "group_width"), [(2, 16), (8, 4), (32, 1)])
def test_cardinality_splits_the_3x3_convolutions_alone(cardinality: int, group_width: int) -> None:
    config = ResNeXtConfig(
        cardinality=cardinality, group_width=group_width, depth1=1, depth2=1, depth3=1, depth4=1
    )
    for index, block in enumerate(residual_blocks(config.build(SMALL))):
        convs = [layer.conv for layer in block.branch if isinstance(layer, ConvNormAct)]
        assert [conv.groups for conv in convs] == [1, cardinality, 1]
        assert convs[1].out_channels == 32 * 2**index
