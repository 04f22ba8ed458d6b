"""Costs: exact where they can be, the same as PyTorch's counter, and as recorded for every variant.

After a change that is meant to alter a cost, write the record anew with
``python -m tests.search_space.test_complexity_meter`` and read its diff.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.complexity import Complexity
from convscout.search_space.complexity_meter import measure
from convscout.search_space.optimizer import optimizers
from convscout.search_space.recipe import TrainingRecipe
from convscout.trials.compute.precision import Precision
from convscout.trials.training.loop import TrainingState, training_step
from tests.support.places import ROOT
from tests.support.soaking import repetitions
from tests.support.variants import every_variant, recipe_for, variant_of

GOLDEN = Path(__file__).with_name("golden_complexity.json")
SMALL = ImageSpec(in_channels=3, image_size=32, num_classes=10)
LARGE = ImageSpec(in_channels=3, image_size=224, num_classes=1000)
QUICK = (
    "densenet",
    "lenet",
    "mlp",
    "resnet",
    "vgg",
)  # whose memory is compared with real trainings each time
CLOSE = 0.1  # the share by which memory may be missed
KERNELS = ("aten::convolution", "aten::convolution_backward", "aten::addmm", "aten::mm", "aten::bmm")
COUNTED = [
    *[(name, "") for name in families.names()],
    ("densenet", "densenet_40_12"), ("efficientnet", "efficientnet_b0"), ("fractalnet", "fractalnet20"),
    ("googlenet", "googlenet"), ("inception_v3", "inception_v3"), ("regnet", "regnet_y_400mf"),
    ("resnet", "resnet50d"), ("squeezenet", "squeezenet1_0_complex_bypass"),
]  # fmt: skip


def config_of(family: str, variant: str) -> ArchitectureConfig:
    """A published configuration, or the family's default where ``variant`` is empty."""
    return variant_of(family, variant) if variant else families.get(family)()


def costs(config: ArchitectureConfig) -> dict[str, dict[str, int]]:
    """What ``config`` costs for small and for large images."""
    images = {"32 × 32, 10 classes": SMALL, "224 × 224, 1000 classes": LARGE}
    return {name: measure(config, recipe_for(image), image).to_dict() for name, image in images.items()}


def golden() -> dict[str, dict[str, dict[str, int]]]:
    """The costs of every variant and of every family's default, measured now."""
    record = {
        f"{family}/{variant}": costs(variant_of(family, variant)) for family, variant in every_variant()
    }
    return record | {
        f"{name}/default": costs(family()) for name, family in families.items() if name != "pretrained"
    }


def peak_of_training(config: ArchitectureConfig, recipe: TrainingRecipe, dtype: torch.dtype) -> int:
    """The most bytes of tensors that lived at once while torch built it and took two real training steps."""
    precision = Precision(torch.device("cpu"), dtype)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        model = config.build(SMALL).to(memory_format=torch.channels_last).train()
        average = None if recipe.averaging == "none" else copy.deepcopy(model)
        state = TrainingState(model=model, optimizer=recipe.optimizer.build(model), average=average)
        images, targets = torch.randn(recipe.batch_size, 3, 32, 32), torch.rand(recipe.batch_size, 10)
        images = images.contiguous(memory_format=torch.channels_last)
        for _ in range(2):
            training_step(state, images, targets, cross_entropy, recipe, precision)
    changes = sorted(allocations(profiler.profiler.kineto_results.experimental_event_tree()))
    return max(accumulate(without_workspaces(changes)))


class Allocation(NamedTuple):
    """Memory that torch took, or gave back where ``size`` is negative; ``kernel`` is zero outside of ``KERNELS``."""

    time_ns: int
    address: int
    size: int
    kernel: int


def allocations(events: Iterable[Any], kernel: int = 0) -> Iterator[Allocation]:
    for event in events:
        if event.name == "[memory]":
            yield Allocation(event.start_time_ns, event.typed[1].ptr, event.typed[1].alloc_size, kernel)
        yield from allocations(event.children, event.id if event.name in KERNELS else kernel)


def without_workspaces(changes: Iterable[Allocation]) -> list[int]:
    """The sizes of what outlived the kernel that took it.

    How much kernels take for themselves is the processor's: without instructions for bfloat16 they unfold the images
    of a convolution, and add up products of matrices in float32.
    """
    sizes: list[int] = []
    taken: dict[int, tuple[int, int]] = {}  # by address: which of ``sizes`` it is, and the kernel
    for change in changes:
        place, kernel = taken.pop(change.address, (-1, 0))
        if change.size < 0 and change.kernel and kernel == change.kernel:
            sizes[place] = 0
            continue
        taken[change.address] = len(sizes), change.kernel
        sizes.append(change.size)
    return sizes


@pytest.mark.slow
def test_the_costs_are_the_recorded_ones() -> None:
    recorded, measured = json.loads(GOLDEN.read_text()), golden()
    assert recorded.keys() == measured.keys()
    for name in recorded:
        assert measured[name] == recorded[name], name


def test_torchs_compiler_is_not_imported_for_it() -> None:
    """It takes more than a second, which every search would wait for before its first trial."""
    program = f"""
import sys, torch
from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.complexity_meter import measure
from tests.support.variants import recipe_for
image = {SMALL!r}
for name, family in families.items():
    if name != "pretrained":  # which is torchvision's
        measure(family(), recipe_for(image), image, dtype=torch.bfloat16)
assert not {{"torch._dynamo", "torchvision"}} & sys.modules.keys()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("family", "variant"), COUNTED)
def test_counts_are_those_of_a_real_network(family: str, variant: str) -> None:
    config = config_of(family, variant)
    complexity, model = measure(config, recipe_for(SMALL), SMALL), config.build(SMALL).eval()
    assert complexity.params == sum(each.numel() for each in model.parameters() if each.requires_grad)
    outputs: list[int] = []
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.register_forward_hook(lambda _module, _inputs, out: outputs.append(out.numel()))
    with FlopCounterMode(display=False) as counter:
        model(torch.randn(1, 3, 32, 32))
    assert complexity.flops == counter.get_total_flops() // 2
    assert complexity.activations == sum(outputs)


@pytest.mark.parametrize("family", QUICK)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_memory_is_that_of_a_real_training(family: str, dtype: torch.dtype) -> None:
    config, recipe = families.get(family)(), replace(recipe_for(SMALL), batch_size=32)
    estimate = measure(config, recipe, SMALL, dtype=dtype).peak_train_bytes
    assert estimate == pytest.approx(peak_of_training(config, recipe, dtype), rel=CLOSE)


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize(
    ("family", "variant"), repetitions(COUNTED[::3], [*COUNTED, ("resnet", "resnet18"), ("vgg", "vgg11")])
)
def test_memory_is_that_of_a_real_training_for_all_families(family: str, variant: str) -> None:
    config, recipe = config_of(family, variant), replace(recipe_for(SMALL), batch_size=32)
    estimate = measure(config, recipe, SMALL).peak_train_bytes
    assert estimate == pytest.approx(peak_of_training(config, recipe, torch.float32), rel=CLOSE)


@pytest.mark.parametrize(
    "changes",
    [
        *({"optimizer": optimizers.get(name)()} for name in optimizers.names()),
        {"optimizer": optimizers.get("sgd")(momentum=0.0)},
        {"optimizer": optimizers.get("rmsprop")(momentum=0.0)},
        {"averaging": "ema"},
        {"batch_size": 256},
    ],
    ids=str,
)
def test_memory_follows_the_recipe(changes: dict[str, Any]) -> None:
    """An MLP's weights outweigh its activations, so that each copy of them shows."""
    config, recipe = families.get("mlp")(), replace(recipe_for(SMALL), **{"batch_size": 32, **changes})
    estimate = measure(config, recipe, SMALL).peak_train_bytes
    assert estimate == pytest.approx(peak_of_training(config, recipe, torch.float32), rel=CLOSE)


def test_auxiliary_heads_take_memory_but_no_flops() -> None:
    whole, bare = (
        measure(variant_of("googlenet", variant), recipe_for(SMALL), SMALL)
        for variant in ("googlenet", "googlenet_without_auxiliary")
    )
    assert (whole.flops, whole.activations) == (bare.flops, bare.activations)
    weights = 4 * (whole.params - bare.params)
    assert whole.peak_train_bytes > bare.peak_train_bytes + weights


def test_measuring_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    for family in families.names():
        measure(families.get(family)(), recipe_for(SMALL), SMALL)
    assert torch.equal(torch.get_rng_state(), before)


def test_json_round_trip() -> None:
    complexity = measure(families.get("lenet")(), recipe_for(SMALL), SMALL)
    assert Complexity.from_dict(json.loads(json.dumps(complexity.to_dict()))) == complexity


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden(), indent=1, ensure_ascii=False) + "\n")
