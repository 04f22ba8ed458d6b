"""MLP, AlexNet, NIN, GoogLeNet, Inception v3 and SqueezeNet: torchvision's to the number, and what marks each."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.classifier import Classifier
from convscout.search_space.complexity_meter import measure
from convscout.search_space.families.alexnet import AlexNetConfig, conv_filters
from convscout.search_space.families.googlenet import STAGES, GoogLeNetConfig, auxiliary_places, make_block
from convscout.search_space.families.inception_v3 import InceptionV3Config, plan_for
from convscout.search_space.families.mlp import MLPConfig
from convscout.search_space.families.nin import NINConfig
from convscout.search_space.families.squeezenet import Fire, SqueezeNetConfig, module_widths
from tests.support.variants import recipe_for, variant_of

LARGE = ImageSpec(in_channels=3, image_size=224, num_classes=1000)
SMALL = ImageSpec(in_channels=3, image_size=32, num_classes=10)
DIGITS = ImageSpec(in_channels=1, image_size=28, num_classes=10)
AUXILIARY = ("googlenet", "inception_v3")


def num_params(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def on_meta(family: str, variant: str, image: ImageSpec) -> Classifier:
    with torch.device("meta"):
        return variant_of(family, variant).build(image)


def torchvisions(name: str, **options: bool) -> nn.Module:
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torchvision's, about how it draws weights
        return torchvision.models.get_model(name, weights=None, **options)


def filled(reference: nn.Module) -> dict[str, Tensor]:
    """A state that tells layers apart and whose batch statistics are no identity."""
    state = {}
    for name, tensor in reference.state_dict().items():
        if len(tensor.shape) > 1:
            state[name] = torch.randn(tensor.shape) * (2 / tensor.shape[1:].numel()) ** 0.5
        elif name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(1)
        else:
            positive = name.endswith(("running_var", "weight"))
            state[name] = 0.5 + torch.rand(tensor.shape) if positive else 0.1 * torch.randn(tensor.shape)
    return state


# published variants


PUBLISHED = {
    ("mlp", "lenet_300_100", DIGITS): 266_610,
    ("alexnet", "alexnet", LARGE): 61_100_840,
    ("alexnet", "alexnet_2012", LARGE): 60_965_224,  # "60 million parameters"
    ("nin", "nin_cifar10", SMALL): 966_986,
    ("googlenet", "googlenet", LARGE): 13_004_888,
    ("googlenet", "googlenet_without_auxiliary", LARGE): 6_624_904,
    ("inception_v3", "inception_v3", LARGE): 27_161_264,
    ("inception_v3", "inception_v3_without_auxiliary", LARGE): 23_834_568,
    ("squeezenet", "squeezenet1_0", LARGE): 1_248_424,
    ("squeezenet", "squeezenet1_1", LARGE): 1_235_496,
}


@pytest.mark.parametrize(("case", "params"), PUBLISHED.items(), ids=lambda case: str(case))
def test_variants_have_the_published_number_of_parameters(
    case: tuple[str, str, ImageSpec], params: int
) -> None:
    assert num_params(on_meta(*case)) == params


TORCHVISIONS = {
    ("alexnet", "alexnet"): ("alexnet", {}),
    ("googlenet", "googlenet"): ("googlenet", {}),
    ("googlenet", "googlenet_without_auxiliary"): ("googlenet", {"aux_logits": False}),
    ("inception_v3", "inception_v3"): ("inception_v3", {}),
    ("inception_v3", "inception_v3_without_auxiliary"): ("inception_v3", {"aux_logits": False}),
    ("squeezenet", "squeezenet1_0"): ("squeezenet1_0", {}),
    ("squeezenet", "squeezenet1_1"): ("squeezenet1_1", {}),
}


@pytest.mark.parametrize("case", TORCHVISIONS, ids=lambda case: case[1])
def test_the_tensors_are_torchvisions(case: tuple[str, str]) -> None:
    name, options = TORCHVISIONS[case]
    networks = on_meta(*case, LARGE), torchvisions(name, **options)
    shapes, expected = (sorted(tensor.shape for tensor in net.state_dict().values()) for net in networks)
    assert shapes == expected


@pytest.mark.parametrize(
    ("family", "variant", "size"),
    [
        ("googlenet", "googlenet_without_auxiliary", 224),
        ("inception_v3", "inception_v3_without_auxiliary", 299),
    ],
)
def test_with_torchvisions_weights_the_outputs_are_torchvisions(family: str, variant: str, size: int) -> None:
    torch.manual_seed(0)
    name, options = TORCHVISIONS[family, variant]
    reference = torchvisions(name, **options)
    model = on_meta(family, variant, ImageSpec(in_channels=3, image_size=size, num_classes=1000))
    values = filled(reference).values()  # both declare their layers in the order of the forward pass
    for network in (reference, model):
        network.load_state_dict(dict(zip(network.state_dict(), values, strict=True)), assign=True)
        network.eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 1e-5  # torchvision's Inceptions have 1e-3
    images = torch.randn(1, 3, size, size)
    with torch.no_grad():
        expected = reference(images)
        assert expected.std() > 1e-3
        torch.testing.assert_close(
            model(images), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item()
        )


# auxiliary heads


def with_auxiliary(family: str) -> ArchitectureConfig:
    return families.get(family)(auxiliary=True, depth2=3)


@pytest.mark.parametrize("size", [8, 28, 64])
@pytest.mark.parametrize("family", AUXILIARY)
def test_auxiliary_heads_train_with_the_rest(family: str, size: int) -> None:
    image = ImageSpec(in_channels=3, image_size=size, num_classes=10)
    model = with_auxiliary(family).build(image)
    answers = model.forward_training(torch.randn(3, 3, size, size))
    assert [answer.shape for answer in answers] == [(3, 10)] * {"googlenet": 3, "inception_v3": 2}[family]
    targets = torch.tensor([0, 1, 2])
    sum(cross_entropy(answer, targets) for answer in answers).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("family", AUXILIARY)
def test_auxiliary_heads_read_maps_of_the_middle(family: str) -> None:
    model = with_auxiliary(family).build(SMALL)
    main, first, *_ = model.forward_training(torch.randn(3, 3, 32, 32))
    early, late = model.stem[0], model.stages[-1]
    weights = [next(part.parameters()) for part in (early, late)]
    gradients = torch.autograd.grad(first.sum(), weights, allow_unused=True, retain_graph=True)
    assert [gradient is not None for gradient in gradients] == [True, False]
    assert all(gradient is not None for gradient in torch.autograd.grad(main.sum(), weights))


@pytest.mark.parametrize("family", AUXILIARY)
def test_answers_and_their_cost_are_the_same_without_auxiliary_heads(family: str) -> None:
    config = with_auxiliary(family)
    bare = families.get(family).from_dict({**config.to_dict(), "auxiliary": False})
    model, other = config.build(SMALL).eval(), bare.build(SMALL).eval()
    shared = {key: value for key, value in model.state_dict().items() if not key.startswith("auxiliary.")}
    other.load_state_dict(shared)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(model(images), other(images))
    assert torch.equal(model.forward_training(images)[0], model(images))
    costs = [measure(each, recipe_for(SMALL), SMALL) for each in (config, bare)]
    assert costs[0].flops == costs[1].flops
    assert costs[0].params > costs[1].params


@pytest.mark.parametrize("family", [name for name in families.names() if name != "pretrained"])
def test_by_default_a_network_learns_from_its_answer_alone(family: str) -> None:
    model = families.get(family)().build(SMALL).eval()
    images = torch.randn(2, 3, 32, 32)
    (answer,) = model.forward_training(images)
    assert torch.equal(answer, model(images))


# what marks each family


def test_pixels_in_any_order_are_the_same_to_an_mlp() -> None:
    torch.manual_seed(0)
    model = MLPConfig(norm_placement="none").build(DIGITS).eval()
    images, order = torch.randn(4, 1, 28, 28), torch.randperm(28 * 28)
    expected = model(images)
    first = model.hidden[0].get_submodule("linear")
    first.weight.data = first.weight.data[:, order]
    shuffled = images.flatten(1)[:, order].view_as(images)
    torch.testing.assert_close(model(shuffled), expected)


@pytest.mark.parametrize(("size", "inputs"), [(8, 64), (28, 784), (32, 1024), (64, 1024), (96, 1024)])
def test_an_mlp_sees_large_images_averaged(size: int, inputs: int) -> None:
    model = MLPConfig().build(ImageSpec(in_channels=1, image_size=size, num_classes=10))
    assert model.hidden[0].get_submodule("linear").in_features == inputs
    if size == 96:
        images = torch.arange(96 * 96.0).view(1, 1, 96, 96)
        assert model.input(images)[0, 0] == images[0, 0, :3, :3].mean()


def test_alexnets_filters_are_the_papers() -> None:
    assert conv_filters(AlexNetConfig(width=64)) == [64, 192, 384, 256, 256]
    assert conv_filters(AlexNetConfig(width=96, proportions="2012", groups=2)) == [96, 256, 384, 384, 256]
    model = on_meta("alexnet", "alexnet_2012", LARGE)
    groups = [module.groups for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert groups == [1, 2, 1, 2, 2]


@pytest.mark.parametrize("width", [8, 13, 31])
def test_groups_split_filters_of_any_width_evenly(width: int) -> None:
    config = AlexNetConfig(width=width, proportions="2012", groups=2)
    assert config.build(SMALL)(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_nin_has_the_filters_of_its_authors() -> None:
    model = on_meta("nin", "nin_cifar10", SMALL)
    convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert [conv.out_channels for conv in convs] == [192, 160, 96, 192, 192, 192, 192, 192, 10]
    assert [conv.kernel_size[0] for conv in convs] == [5, 1, 1, 5, 1, 1, 3, 1, 1]
    assert model.forward_features(torch.empty(2, 3, 32, 32, device="meta")).shape[2:] == (8, 8)


def test_both_heads_of_nin_answer_alike_where_nothing_is_rectified() -> None:
    linear = NINConfig(head="linear").build(SMALL).eval()
    maps = NINConfig(head="class_maps").build(SMALL).eval()
    state = dict(zip(maps.state_dict(), linear.state_dict().values(), strict=True))
    maps.load_state_dict({key: value.view_as(maps.state_dict()[key]) for key, value in state.items()})
    maps.head.act = nn.Identity()
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(maps(images), linear(images), rtol=1e-4, atol=1e-4)


def test_googlenets_blocks_cost_what_table_1_says() -> None:
    config = GoogLeNetConfig(width=64, wide_kernel=5, norm_placement="none", depth1=2, depth2=5, depth3=2)
    thousands = [159, 380, 364, 437, 463, 580, 840, 1072, 1388]  # weights ÷ 1,024
    channels, measured = 192, []
    for filters in (filters for stage in STAGES for filters in stage):
        block = make_block(channels, filters, config)
        measured.append(num_params(block) / 1024)
        channels = block.out_channels
    assert channels == 1024
    assert measured == pytest.approx(thousands, rel=0.08)  # rows 4c and 5a do not add up in the table itself
    assert sum(measured) == pytest.approx(sum(thousands), rel=0.01)


def test_auxiliary_heads_sit_where_the_paper_has_them() -> None:
    assert {depth: auxiliary_places(depth) for depth in (1, 2, 3, 5)} == {
        1: [0],
        2: [0],
        3: [0, 1],
        5: [0, 3],
    }


def test_asymmetric_filters_fit_the_maps() -> None:
    assert [plan_for(side).longest for side in (8, 28, 32, 96, 299)] == [3, 7, 7, 7, 7]
    model = InceptionV3Config().build(SMALL)
    kernels = {module.kernel_size for module in model.modules() if isinstance(module, nn.Conv2d)}
    assert kernels == {(1, 1), (3, 3), (5, 5), (1, 7), (7, 1), (1, 3), (3, 1)}


@pytest.mark.parametrize(
    ("make", "side"), [(GoogLeNetConfig, 32), (InceptionV3Config, 32), (SqueezeNetConfig, 28)]
)
def test_small_images_keep_maps_of_several_pixels(make: Callable[[], ArchitectureConfig], side: int) -> None:
    image = ImageSpec(in_channels=3, image_size=side, num_classes=10)
    features = make().build(image).forward_features(torch.randn(2, 3, side, side))
    assert min(features.shape[2:]) >= 3


def test_fire_modules_follow_the_papers_metaparameters() -> None:
    config = SqueezeNetConfig(width=128, increment=1.0, depth=8, squeeze=0.125, share_3x3=0.5)
    assert module_widths(config) == [128, 128, 256, 256, 384, 384, 512, 512]
    fire = Fire(128, 256, config)
    filters = [module.out_channels for module in fire.modules() if isinstance(module, nn.Conv2d)]
    assert filters[:3] == [32, 128, 128]


@pytest.mark.parametrize(
    ("bypass", "equal", "unequal"), [("none", 0, 0), ("simple", 1, 0), ("complex", 1, 1)]
)
def test_bypasses_add_the_input(bypass: str, equal: int, unequal: int) -> None:
    config = SqueezeNetConfig(bypass=bypass, norm_placement="none")
    for in_channels, bypassed in ((16, equal), (8, unequal)):
        fire = Fire(in_channels, 16, config)
        for module in (fire.expand1, fire.expand3):
            nn.init.zeros_(module.conv.weight)
            nn.init.zeros_(module.conv.bias)
        maps = torch.randn(2, in_channels, 4, 4)
        assert bool(fire(maps).any()) == bool(bypassed)
        if bypassed and in_channels == 16:
            assert torch.equal(fire(maps), maps)


def test_a_simple_bypass_is_free_and_a_complex_one_has_the_papers_four_convolutions() -> None:
    plain, simple, complex_ = (
        num_params(on_meta("squeezenet", name, LARGE))
        for name in ("squeezenet1_0", "squeezenet1_0_simple_bypass", "squeezenet1_0_complex_bypass")
    )
    assert simple == plain
    assert complex_ - plain == sum(i * o + o for i, o in [(96, 128), (128, 256), (256, 384), (384, 512)])
