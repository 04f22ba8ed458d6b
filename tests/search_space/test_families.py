"""Every family: builds for all kinds of image, trains, travels, replays, and equals what was published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torchvision
from optuna.samplers import RandomSampler
from optuna.study import create_study
from optuna.trial import FixedTrial
from torch import nn
from torch.nn.functional import cross_entropy

from convscout.search_space.architecture import (
    ArchitectureConfig,
    ImageSpec,
    architecture_from_dict,
    families,
)
from convscout.search_space.errors import UnbuildableError
from tests.support.places import ROOT
from tests.support.variants import variant_of

SIZES = (8, 28, 32, 64, 96)
NARROW = {"lenet.width": 8, "vgg.width": 8, "resnet.width": 8}  # so that every test is quick


def image(size: int = 32, channels: int = 3, classes: int = 10) -> ImageSpec:
    return ImageSpec(in_channels=channels, image_size=size, num_classes=classes)


def sampled(family: str, seed: int, overrides: Mapping[str, Any] = NARROW) -> tuple[ArchitectureConfig, dict]:
    trial = create_study(sampler=RandomSampler(seed=seed)).ask()
    return families.get(family).suggest(trial, overrides), trial.params


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("family", families.names())
def test_every_parameter_gets_a_finite_gradient(
    family: str, size: int, channels: int, dtype: torch.dtype
) -> None:
    config = families.get(family).proven({f"{family}.width": 8})
    model = config.build(image(size, channels))
    images = torch.randn(3, channels, size, size).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype, enabled=dtype is torch.bfloat16):
        logits = model(images)
    assert logits.shape == (3, 10)
    cross_entropy(logits.float(), torch.tensor([0, 1, 2])).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("family", families.names())
def test_samples_build_travel_and_replay(family: str, seed: int) -> None:
    config, params = sampled(family, seed)
    assert architecture_from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert families.get(family).suggest(FixedTrial(params), NARROW) == config
    with torch.device("meta"):
        for size in SIZES:
            model = config.build(image(size))
            features = model.forward_features(torch.empty(2, 3, size, size))
            assert model.forward_head(features).shape == (2, 10)


@pytest.mark.parametrize("family", families.names())
def test_a_seed_decides_samples_and_weights(family: str) -> None:
    assert sampled(family, 1, {})[0] == sampled(family, 1, {})[0]
    assert len({str(sampled(family, seed, {})[0]) for seed in range(5)}) == 5
    config = families.get(family).proven(NARROW)
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(config.build(image()).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert any(not torch.equal(states[0][key], states[2][key]) for key in states[0])


@pytest.mark.parametrize("family", families.names())
def test_images_too_small_are_refused_with_the_remedy(family: str) -> None:
    with pytest.raises(UnbuildableError, match=f"{family} .*at least 8 × 8 pixels, but these are 4 × 4"):
        families.get(family)().build(image(size=4))


def test_valid_convolutions_that_use_up_the_image_are_refused() -> None:
    with pytest.raises(UnbuildableError, match=r"no pixels left for stage 2 of 2 .* padding = 'same'"):
        variant_of("lenet", "lenet5").build(image(size=8))


PUBLISHED = {
    ("lenet", "lenet5", 32, 1, 10): 61_706,
    ("vgg", "vgg11_bn", 224, 3, 1000): 132_868_840,
    ("vgg", "vgg13_bn", 224, 3, 1000): 133_053_736,
    ("vgg", "vgg16", 224, 3, 1000): 138_357_544,
    ("vgg", "vgg16_bn", 224, 3, 1000): 138_365_992,
    ("vgg", "vgg19", 224, 3, 1000): 143_667_240,
    ("resnet", "resnet18", 224, 3, 1000): 11_689_512,
    ("resnet", "resnet50", 224, 3, 1000): 25_557_032,
    ("resnet", "se_resnet18", 224, 3, 1000): 11_689_512 + 89_080,  # C² / 8 + 17 C / 16 for a block of C maps
    ("resnet", "se_resnet50", 224, 3, 1000): 25_557_032 + 2_530_992,  # 28.1 M
    ("resnet", "resnet20", 32, 3, 10): 269_722,  # 0.27 M
    ("resnet", "resnet32", 32, 3, 10): 464_154,  # 0.46 M
    ("resnet", "resnet44", 32, 3, 10): 658_586,  # 0.66 M
    ("resnet", "resnet56", 32, 3, 10): 853_018,  # 0.85 M
    ("resnet", "resnet110", 32, 3, 10): 1_727_962,  # 1.7 M
}


@pytest.mark.parametrize(("case", "params"), PUBLISHED.items(), ids=lambda case: str(case))
def test_variants_have_the_published_number_of_parameters(
    case: tuple[str, str, int, int, int], params: int
) -> None:
    family, variant, size, channels, classes = case
    with torch.device("meta"):
        model = variant_of(family, variant).build(image(size, channels, classes))
    assert sum(parameter.numel() for parameter in model.parameters()) == params


@pytest.mark.parametrize(
    ("family", "variant"),
    [
        ("alexnet", "alexnet"),
        ("densenet", "densenet121"),
        ("resnet", "resnet18"),
        ("resnext", "resnext50_32x4d"),
        ("squeezenet", "squeezenet1_1"),
        ("vgg", "vgg11_bn"),
    ],
)
def test_with_torchvisions_weights_the_outputs_are_torchvisions(family: str, variant: str) -> None:
    torch.manual_seed(0)
    with torch.device("meta"):
        reference = getattr(torchvision.models, variant)(weights=None)
        model = variant_of(family, variant).build(image(224, classes=1000))
    values = [_plausible(name, tensor.shape) for name, tensor in reference.state_dict().items()]
    for network in (reference, model):  # both declare their layers in the order of the forward pass
        state = dict(zip(network.state_dict(), values, strict=True))
        network.load_state_dict(state, assign=True)
        network.eval()
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        expected = reference(images)
        assert expected.std() > 1e-3
        torch.testing.assert_close(
            model(images), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item()
        )


def _plausible(name: str, shape: torch.Size) -> torch.Tensor:
    """Weights that tell layers apart, and batch statistics that are no identity."""
    if name.endswith("num_batches_tracked"):
        return torch.tensor(1)
    if len(shape) > 1:
        return torch.randn(shape) * (2 / shape[1:].numel()) ** 0.5
    if name.endswith(("running_var", "weight")):
        return 0.5 + torch.rand(shape)
    return 0.1 * torch.randn(shape)


@pytest.mark.parametrize("family", families.names())
def test_no_convolution_of_one_pixel_is_strided(family: str) -> None:
    """See ``Subsample``: torch's CPU kernels corrupt the heap in the gradient of such a convolution."""
    for variant in [{}, *families.get(family).variants.values()]:
        with torch.device("meta"):
            network = families.get(family)(**variant).build(image(224, classes=1000))
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv2d):
                assert module.kernel_size != (1, 1) or module.stride == (1, 1), name


def test_strengths_are_those_of_the_portfolio_benchmark() -> None:
    """See docs/design-space.md, whose table ``python -m benchmarks.portfolio`` makes."""
    results = json.loads((ROOT / "benchmarks/results/portfolio.json").read_text())["results"]
    measured = {result["family"]: result["accuracy"] for result in results}
    assert set(measured) == {name for name, family in families.items() if family.searched}
    for name, accuracy in measured.items():
        assert families.get(name).strength == pytest.approx(accuracy, abs=0.006), name
