"""SpeedNet: what whitening does to real images, where it pools, how it starts, and the published sizes."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from convscout.search_space.architecture import ImageSpec
from convscout.search_space.families.resnet import ResNetConfig
from convscout.search_space.families.speednet import SpeedNetConfig, WhiteningConv
from convscout.search_space.layers import first_conv
from convscout.search_space.optimizer import optimizers
from tests.support.variants import variant_of

SMALL = ImageSpec(in_channels=3, image_size=32, num_classes=10)
DIGITS = ImageSpec(in_channels=1, image_size=8, num_classes=10)


def digits() -> Tensor:
    """Real images, normalised, (1797, 1, 8, 8)."""
    images = torch.tensor(load_digits().images, dtype=torch.float32)[:, None]
    return (images - images.mean()) / images.std()


def correlated(channels: int, side: int) -> Tensor:
    """Images whose neighbouring pixels and channels are alike, as those of photographs are."""
    torch.manual_seed(0)
    coarse = torch.randn(256, channels, side // 4, side // 4)
    fine = torch.randn(256, channels, side, side)
    return F.interpolate(coarse, size=side, mode="bilinear") + 0.5 * coarse.mean((1, 2, 3), True) + 0.2 * fine


def whitened(config: SpeedNetConfig, image: ImageSpec, images: Tensor) -> Tensor:
    """What half of the first filters answer, without bias: (patches, filters)."""
    model = config.build(image)
    model.initialize_from(images)
    conv = first_conv(model)
    conv.stride = conv.kernel_size  # the patches that the filters were made of
    maps = conv(images)[:, : conv.out_channels // 2]
    return maps.transpose(0, 1).flatten(1).T.detach()


@pytest.mark.parametrize("patch", [2, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_whitened_patches_are_uncorrelated_and_of_equal_variance(patch: int, channels: int) -> None:
    image = ImageSpec(in_channels=channels, image_size=24, num_classes=10)
    answers = whitened(SpeedNetConfig(patch=patch), image, correlated(channels, 24))
    covariance = answers.T @ answers / len(answers)
    torch.testing.assert_close(covariance, torch.eye(len(covariance)), atol=0.02, rtol=0)


def test_directions_without_contrast_are_not_blown_up() -> None:
    images = digits()
    images[:, :, ::2] = images[:, :, 1::2]  # pairs of equal rows: half of all directions hold nothing
    answers = whitened(SpeedNetConfig(patch=2), DIGITS, images)
    variances = answers.square().mean(0)
    assert ((variances < 0.01) | ((variances - 1).abs() < 0.02)).all()
    assert answers.isfinite().all()


def test_every_whitening_filter_has_its_negative_and_none_of_them_learns() -> None:
    model = SpeedNetConfig().build(DIGITS)
    model.initialize_from(digits())
    conv = first_conv(model)
    assert isinstance(conv, WhiteningConv)
    first, second = conv.weight.chunk(2)
    assert torch.equal(first, -second)
    before = copy.deepcopy(model.state_dict())
    optimizer = optimizers.get("sgd")(weight_decay=0.01).build(model)
    model(digits()[:16]).square().sum().backward()
    optimizer.step()
    after = model.state_dict()
    changed = {key for key in after if not torch.equal(before[key], after[key])}
    assert "stem.0.weight" in after  # travels in checkpoints
    assert "stem.0.weight" not in changed
    assert "stem.0.bias" in changed


def test_learned_stems_and_other_families_take_nothing_from_the_images() -> None:
    for config in (SpeedNetConfig(stem="conv"), ResNetConfig()):
        model = config.build(DIGITS)
        before = copy.deepcopy(model.state_dict())
        model.initialize_from(digits())
        assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("placement", "order"), [("before", "BatchNorm2d ReLU"), ("after", "ReLU BatchNorm2d")]
)
def test_maps_are_pooled_before_norm_and_activation(placement: str, order: str) -> None:
    stage = SpeedNetConfig(norm_placement=placement, activation="relu").build(SMALL).stages[0][0]
    assert [type(module).__name__ for module in stage] == ["Conv2d", "MaxPool2d", *order.split()]


@pytest.mark.parametrize(("size", "side"), [(8, 3), (28, 3), (32, 3), (64, 4), (96, 6), (224, 7)])
def test_three_poolings_where_the_image_has_room_for_them(size: int, side: int) -> None:
    image = ImageSpec(in_channels=3, image_size=size, num_classes=10)
    with torch.device("meta"):
        features = SpeedNetConfig().build(image).forward_features(torch.empty(2, 3, size, size))
    assert features.shape[2:] == (side, side)


def test_filters_start_by_passing_maps_on() -> None:
    model = SpeedNetConfig(init="dirac", depth1=1, stem="conv").build(SMALL)
    filters = [module for module in model.stages.modules() if isinstance(module, nn.Conv2d)]
    maps = torch.randn(2, filters[1].in_channels, 6, 6)
    torch.testing.assert_close(filters[1](maps), maps)


def test_a_silenced_residual_net_refines_nothing_at_first() -> None:
    stage = (
        SpeedNetConfig(init="zero_residual", residual=True, activation="relu", depth1=2)
        .build(SMALL)
        .stages[0]
    )
    maps = torch.rand(2, SpeedNetConfig().width1, 6, 6)
    torch.testing.assert_close(stage[1](maps), maps)
    plain = SpeedNetConfig(init="zero_residual", residual=False).build(SMALL)
    assert plain(torch.randn(4, 3, 32, 32)).std() > 0  # nothing but its convolutions leads on


def test_logits_are_scaled() -> None:
    torch.manual_seed(0)
    model = SpeedNetConfig(logit_scale=1.0).build(SMALL).eval()
    scaled = SpeedNetConfig(logit_scale=0.125).build(SMALL).eval()
    scaled.load_state_dict(model.state_dict())
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(scaled(images), model(images) / 8)


@pytest.mark.parametrize(
    ("variant", "params", "share"), [("resnet9", 6_573_120, 0.0), ("airbench94", 1.97e6, 0.003)]
)
def test_published_variants_have_their_number_of_parameters(
    variant: str, params: float, share: float
) -> None:
    """Page's net to the number; Jordan's as rounded in the paper's section 3, whose norms have no weights."""
    with torch.device("meta"):
        model = variant_of("speednet", variant).build(SMALL)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(params, rel=share, abs=0)
