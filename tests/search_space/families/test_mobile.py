"""MobileNet v2, EfficientNet, ConvNeXt and RegNet: torchvision's models to the number, and their own geometry."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torchvision.models as published
from torch import Tensor, nn

from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.families.convnext import ConvNeXtBlock, ConvNeXtConfig, MapNorm
from convscout.search_space.families.efficientnet import EfficientNetConfig
from convscout.search_space.families.mobilenet_v2 import BlockPlan, InvertedResidual, MobileNetV2Config
from convscout.search_space.families.regnet import RegNetConfig, plan_stages
from convscout.search_space.geometry import divisible, fit_strides
from tests.support.variants import variant_of

IMAGENET = ImageSpec(in_channels=3, image_size=224, num_classes=1000)
SMALL = ImageSpec(in_channels=3, image_size=32, num_classes=10)
GROUP = ("mobilenet_v2", "efficientnet", "convnext", "regnet")
SCALED = {  # variants that torchvision publishes no weights of, but builds
    "mobilenet_v2_0_5": partial(published.mobilenet_v2, width_mult=0.5),
    "mobilenet_v2_1_4": partial(published.mobilenet_v2, width_mult=1.4),
}


def num_params(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("family", "variant"),
    [(family, variant) for family in GROUP for variant in families.get(family).variants],
)
def test_every_variant_has_torchvisions_number_of_parameters(family: str, variant: str) -> None:
    with torch.device("meta"):
        model = variant_of(family, variant).build(IMAGENET)
        if variant in SCALED:
            expected = num_params(SCALED[variant]())
        else:
            expected = published.get_model_weights(variant).DEFAULT.meta["num_params"]
    assert num_params(model) == expected


@pytest.mark.parametrize(
    ("family", "variant", "params"),
    [
        ("mobilenet_v2", "mobilenet_v2", 3_504_872),
        ("efficientnet", "efficientnet_b0", 5_288_548),
        ("convnext", "convnext_tiny", 28_589_128),
        ("regnet", "regnet_y_400mf", 4_344_144),
        ("regnet", "regnet_x_400mf", 5_495_976),
    ],
)
def test_the_smallest_variants_have_the_known_number(family: str, variant: str, params: int) -> None:
    with torch.device("meta"):
        assert num_params(variant_of(family, variant).build(IMAGENET)) == params


@pytest.mark.parametrize(
    ("family", "variant"),
    [("mobilenet_v2", "mobilenet_v2"), ("efficientnet", "efficientnet_b0"), ("regnet", "regnet_y_400mf"),
     ("regnet", "regnet_x_400mf"), ("convnext", "convnext_tiny")],
)  # fmt: skip
def test_with_torchvisions_weights_the_outputs_are_torchvisions(family: str, variant: str) -> None:
    torch.manual_seed(0)
    reference = published.get_model(variant, weights=None).eval()
    model = variant_of(family, variant).build(IMAGENET).eval()
    for tensor in (*reference.parameters(), *reference.buffers()):
        if tensor.ndim == 1:  # norms and biases that are no identity
            tensor.data.uniform_(0.5, 1.5)
    ours, theirs = model.state_dict(), reference.state_dict()
    pairs = zip(
        ours, theirs.values(), strict=True
    )  # both declare their layers in the order of the forward pass
    model.load_state_dict({key: value.reshape(ours[key].shape) for key, value in pairs})
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = reference(images)
        torch.testing.assert_close(
            model(images), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item()
        )


# geometry


@pytest.mark.parametrize(
    ("side", "keep", "strides"),
    [
        (224, "spread", (2, 1, 2, 2, 2, 1, 2)),
        (32, "early", (2, 1, 2, 2, 1, 1, 1)),
        (32, "spread", (2, 1, 1, 2, 1, 1, 2)),
        (32, "late", (1, 1, 1, 2, 2, 1, 2)),
        (8, "spread", (2, 1, 1, 1, 1, 1, 1)),
        (4, "late", (1, 1, 1, 1, 1, 1, 1)),
    ],
)
def test_small_images_lose_halvings_where_the_knob_says(
    side: int, keep: str, strides: tuple[int, ...]
) -> None:
    assert fit_strides(side, (2, 1, 2, 2, 2, 1, 2), keep) == strides


def test_maps_are_rounded_to_eight_but_never_down_by_more_than_a_tenth() -> None:
    assert [divisible(channels, 8) for channels in (1, 8, 11, 12, 19, 35.2, 44.8)] == [
        8,
        8,
        16,
        16,
        24,
        32,
        48,
    ]


def test_the_regnet_line_is_quantised_as_the_paper_does() -> None:
    stages = plan_stages(RegNetConfig(**RegNetConfig.variants["regnet_x_400mf"]))
    assert [stage.width for stage in stages] == [32, 64, 160, 400]  # table 7 of torchvision's models
    assert [stage.depth for stage in stages] == [1, 2, 7, 12]


@pytest.mark.parametrize("seed", range(30))
def test_any_regnet_line_gives_whole_groups_and_all_its_blocks(seed: int) -> None:
    rng = random.Random(seed)
    config = RegNetConfig(
        depth=rng.randint(1, 40), w0=rng.randint(8, 300), wa=rng.uniform(0, 200), wm=rng.uniform(1.2, 4),
        group_width=rng.choice((1, 8, 24, 264)),
    )  # fmt: skip
    stages = plan_stages(config)
    assert sum(stage.depth for stage in stages) == config.depth
    assert all(stage.width % stage.group_width == 0 for stage in stages)
    widths = [stage.width for stage in stages]
    assert widths == sorted(widths)


@pytest.mark.parametrize(
    "config", [MobileNetV2Config(), EfficientNetConfig(), RegNetConfig(), ConvNeXtConfig(depth4=1)]
)
@pytest.mark.parametrize("size", [8, 28, 32, 64, 96])
def test_maps_never_fall_below_four_pixels(config: MobileNetV2Config, size: int) -> None:
    image = ImageSpec(in_channels=1, image_size=size, num_classes=10)
    with torch.device("meta"):
        features = config.build(image).forward_features(torch.empty(2, 1, size, size))
    assert 4 <= features.shape[-1] <= 7


# blocks


def plan(out_channels: int = 8, stride: int = 1) -> BlockPlan:
    return BlockPlan(in_channels=8, out_channels=out_channels, expansion=4, kernel_size=5, stride=stride)


def test_an_inverted_residual_is_added_only_where_shapes_agree() -> None:
    maps = torch.randn(2, 8, 6, 6)
    for block_plan, added in ((plan(), True), (plan(out_channels=16), False), (plan(stride=2), False)):
        block = InvertedResidual(block_plan, MobileNetV2Config(squeeze_excitation=True)).eval()
        branch = block.branch(maps)
        torch.testing.assert_close(block(maps), branch + maps if added else branch)


@pytest.mark.parametrize(
    "make",
    [
        lambda: InvertedResidual(plan(), MobileNetV2Config(), drop_path=0.5),
        lambda: ConvNeXtBlock(8, 0.5, ConvNeXtConfig(layer_scale=1.0)),
    ],
    ids=["inverted", "convnext"],
)
def test_drop_path_skips_the_block_for_single_images_in_training_alone(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    block, maps = make(), torch.randn(64, 8, 4, 4)
    skipped = (block(maps) == maps).flatten(1).all(dim=1).float().mean().item()
    assert 0.3 < skipped < 0.7
    assert not (block.eval()(maps) == maps).flatten(1).all(dim=1).any()


def test_deeper_blocks_are_skipped_more_often() -> None:
    for config in (EfficientNetConfig(drop_path=0.2), ConvNeXtConfig(drop_path=0.2)):
        rates = [
            module.drop_path.probability
            for module in config.build(SMALL).modules()
            if hasattr(module, "drop_path")
        ]
        assert rates[0] == 0
        assert rates == sorted(rates)
        assert 0.15 < rates[-1] < 0.201


def test_the_norm_of_maps_is_per_pixel_and_moves_nothing_in_memory() -> None:
    maps: Tensor = torch.randn(2, 16, 5, 5).contiguous(memory_format=torch.channels_last)
    out = MapNorm(16)(3 * maps + 1)
    torch.testing.assert_close(out.mean(dim=1), torch.zeros(2, 5, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var(dim=1, correction=0), torch.ones(2, 5, 5), atol=1e-3, rtol=0)
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_layer_scale_starts_as_the_config_says() -> None:
    maps = torch.randn(2, 8, 4, 4)
    whole, tenth = (ConvNeXtBlock(8, 0.0, ConvNeXtConfig(layer_scale=scale)) for scale in (1.0, 0.1))
    tenth.load_state_dict(whole.state_dict() | {"scale": torch.full((8,), 0.1)})
    torch.testing.assert_close(tenth(maps) - maps, 0.1 * (whole(maps) - maps))
