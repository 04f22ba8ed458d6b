"""Pretrained: what is loaded, replaced, frozen and slowed down, and what is said when weights are missing.

The weights are random ones, laid where torch.hub would put the published ones: nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.complexity_meter import measure
from convscout.search_space.errors import UnbuildableError
from convscout.search_space.families.pretrained import BACKBONES, Pretrained, PretrainedConfig, weights_file
from convscout.search_space.layers import first_conv
from convscout.search_space.optimizer import optimizers
from convscout.search_space.space import SearchSpace
from tests.search_space.conftest import publish
from tests.support.variants import recipe_for

SMALL = ImageSpec(in_channels=3, image_size=32, num_classes=10)
GREY = ImageSpec(in_channels=1, image_size=28, num_classes=10)

Published = Callable[[str], nn.Module]


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """Makes a backbone, lays its weights where torch.hub keeps them, and gives it back."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return publish


def built(image: ImageSpec = SMALL, **settings: object) -> Pretrained:
    return PretrainedConfig(**settings).build(image)  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_missing_weights_are_told_with_what_to_fetch_and_where_to_put_it(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UnbuildableError) as caught, torch.device(device):
        built(backbone="resnet18")
    message = caught.value.message
    assert "pretrained needs the weights of resnet18" in message
    assert "fetch https://" in message
    assert f"put it at {tmp_path}" in message
    assert message.split(" at ")[1].split(",")[0].endswith("resnet18-f37072fd.pth")
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_told_too(published: Published) -> None:
    published("mobilenet_v3_small")
    path = weights_file("mobilenet_v3_small")[1]
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UnbuildableError, match=r"cannot read .*mobilenet_v3_small.* fetch https"):
        built()


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v3_small", "efficientnet_b0"])
def test_features_are_those_of_the_pretrained_network(backbone: str, published: Published) -> None:
    network = published(backbone).eval()
    model = built(backbone=backbone, enlarge=1).eval()
    seen: list[torch.Tensor] = []
    network.avgpool.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        network(images)
        torch.testing.assert_close(model.forward_features(images), seen[0])
        assert model(images).shape == (2, 10)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_can_be_cut_and_costed(
    backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = weights_file(backbone)[1]
    path.parent.mkdir(parents=True)
    path.touch()  # on the meta device there is nothing to load
    whole = measure(PretrainedConfig(backbone=backbone), recipe_for(SMALL), SMALL)
    part = measure(PretrainedConfig(backbone=backbone, frozen=2), recipe_for(SMALL), SMALL)
    assert part.params < whole.params
    assert part.flops == whole.flops
    assert part.peak_train_bytes < whole.peak_train_bytes


def test_the_head_is_drawn_anew_and_grey_images_see_the_mean_of_the_colours(published: Published) -> None:
    network = published("resnet18").eval()
    heads = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = built(GREY, backbone="resnet18").eval()
        heads.append(model.head[-1].weight)
    assert not torch.equal(*heads)
    grey = torch.randn(2, 1, 28, 28)
    torch.testing.assert_close(
        first_conv(model)(grey), network.conv1(grey.expand(-1, 3, -1, -1)), atol=1e-4, rtol=0
    )


def test_frozen_stages_neither_learn_nor_move_their_statistics(published: Published) -> None:
    published("mobilenet_v3_small")
    model = built(frozen=2).train()
    optimizer = optimizers.get("sgd")(learning_rate=0.1, weight_decay=0.1).build(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model(torch.randn(4, 3, 32, 32)).square().sum().backward()
    optimizer.step()
    changed = {key for key, value in model.state_dict().items() if not torch.equal(before[key], value)}
    assert not any(key.startswith(("stages.0.", "stages.1.")) for key in changed)
    assert any(key.startswith("stages.2.") and key.endswith("running_mean") for key in changed)
    assert {"head.3.weight", "head.3.bias"} <= changed


def test_learning_rates_fall_from_the_head_to_the_stem(published: Published) -> None:
    published("resnet18")
    model = built(backbone="resnet18", rate_decay=0.5)
    groups = optimizers.get("sgd")(learning_rate=0.1).build(model).param_groups
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    by_name = {name: rates[id(parameter)] for name, parameter in model.named_parameters()}
    assert by_name["head.3.weight"] == by_name["head.3.bias"] == pytest.approx(0.1)
    for stage in range(5):
        assert by_name[next(n for n in by_name if n.startswith(f"stages.{stage}."))] == pytest.approx(
            0.1 * 0.5 ** (5 - stage)
        )
    assert all(group["lr"] == pytest.approx(0.1 * group["lr_scale"]) for group in groups)


def test_images_are_enlarged(published: Published) -> None:
    published("mobilenet_v3_small")
    for enlarge, side in ((1, 1), (2, 2), (4, 4)):
        model = built(enlarge=enlarge).eval()
        assert model.forward_features(torch.randn(1, 3, 32, 32)).shape[-1] == side


@pytest.mark.parametrize("size", [8, 28])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_tiny_images_are_enlarged_until_no_filter_strides_over_one_pixel(
    backbone: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = weights_file(backbone)[1]
    path.parent.mkdir(parents=True)
    path.touch()
    sides: list[int] = []
    with torch.device("meta"):
        model = built(ImageSpec(in_channels=3, image_size=size, num_classes=10), backbone=backbone, enlarge=1)
        for module in model.modules():
            if isinstance(module, nn.Conv2d) and module.stride != (1, 1):
                module.register_forward_pre_hook(lambda _module, inputs: sides.append(inputs[0].shape[-1]))
        assert model(torch.empty(2, 3, size, size)).shape == (2, 10)
    assert len(sides) >= 4
    assert min(sides) > 1


def test_it_takes_part_only_when_it_is_named() -> None:
    assert not families.get("pretrained").searched
    assert "pretrained" not in SearchSpace(image=SMALL).families
    assert SearchSpace(image=SMALL, families=("pretrained",)).families == ("pretrained",)
