"""DenseNet: torchvision's to the number, and what connects, grows and shrinks."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from convscout.search_space.architecture import ImageSpec
from convscout.search_space.families.densenet import DenseBlock, DenseNetConfig, Transition
from tests.support.variants import variant_of

LARGE = ImageSpec(in_channels=3, image_size=224, num_classes=1000)
SMALL = ImageSpec(in_channels=3, image_size=32, num_classes=10)


def num_params(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("variant", ["densenet121", "densenet161", "densenet169", "densenet201"])
def test_every_tensor_has_the_shape_of_torchvisions(variant: str) -> None:
    with torch.device("meta"):
        model = variant_of("densenet", variant).build(LARGE)
        reference = getattr(torchvision.models, variant)(weights=None)
    shapes, expected = ([tensor.shape for tensor in net.state_dict().values()] for net in (model, reference))
    assert shapes == expected


@pytest.mark.parametrize(
    ("variant", "image", "params"),
    [
        ("densenet121", LARGE, 7_978_856),
        ("densenet_40_12", SMALL, 1_019_722),  # 1.0 M
        ("densenet_bc_100_12", SMALL, 769_162),  # 0.8 M
    ],
)
def test_variants_have_the_published_number_of_parameters(
    variant: str, image: ImageSpec, params: int
) -> None:
    with torch.device("meta"):
        model = variant_of("densenet", variant).build(image)
    assert num_params(model) == params


def test_a_layer_reads_all_maps_before_it_and_changes_none() -> None:
    config = DenseNetConfig(growth_rate=4)
    block = DenseBlock(6, 3, config)
    assert [layer.get_submodule("0.norm").num_features for layer in block] == [6, 10, 14]
    maps = torch.randn(2, 6, 5, 5)
    outputs = block(maps)
    assert outputs.shape == (2, 18, 5, 5)
    assert torch.equal(outputs[:, :6], maps)
    assert torch.equal(outputs[:, 6:10], block[0](maps))


@pytest.mark.parametrize(("bottleneck", "kernels"), [(True, [1, 3]), (False, [3])])
def test_a_bottleneck_is_four_times_as_wide_as_what_it_yields(bottleneck: bool, kernels: list[int]) -> None:
    block = DenseBlock(6, 1, DenseNetConfig(growth_rate=4, bottleneck=bottleneck))
    convs = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
    assert [conv.kernel_size[0] for conv in convs] == kernels
    assert convs[-1].in_channels == (16 if bottleneck else 6)
    assert convs[-1].out_channels == 4


@pytest.mark.parametrize("compression", [0.05, 0.5, 1.0])
def test_transitions_keep_a_share_of_the_maps(compression: float) -> None:
    net = DenseNetConfig(compression=compression).build(SMALL)
    transitions = [module for module in net.modules() if isinstance(module, Transition)]
    assert len(transitions) == 2
    for transition in transitions:
        conv = transition[1]
        assert isinstance(conv, nn.Conv2d)
        assert conv.out_channels == max(1, int(compression * conv.in_channels))


def test_a_transition_averages_only_pixels_that_exist() -> None:
    outputs = Transition(2, 1, 2, DenseNetConfig()).eval()(torch.ones(1, 2, 7, 7))
    assert outputs.shape == (1, 1, 4, 4)
    torch.testing.assert_close(outputs, outputs[:, :, :1, :1].expand_as(outputs))
