"""Costs: exact where they can be, the same as PyTorch's counter, and as recorded for every variant.

After a change that is meant to alter a cost, write the record anew with
``python -m tests.search_space.test_complexity`` and read its diff.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from search_space.architecture import ArchitectureConfig, ImageSpec, families
from search_space.complexity import Complexity, measure
from tests.search_space.variants import every_variant, variant_of

GOLDEN = Path(__file__).with_name("golden_complexity.json")
SMALL = ImageSpec(in_channels=3, image_size=32, num_classes=10)
LARGE = ImageSpec(in_channels=3, image_size=224, num_classes=1000)


def costs(config: ArchitectureConfig) -> dict[str, dict[str, int]]:
    """What ``config`` costs for small and for large images."""
    images = {"32 × 32, 10 classes": SMALL, "224 × 224, 1000 classes": LARGE}
    return {name: measure(config, image, batch_size=128).to_dict() for name, image in images.items()}


def golden() -> dict[str, dict[str, dict[str, int]]]:
    """The costs of every variant and of every family's default, measured now."""
    record = {
        f"{family}/{variant}": costs(variant_of(family, variant)) for family, variant in every_variant()
    }
    return record | {
        f"{name}/default": costs(family()) for name, family in families.items() if name != "pretrained"
    }


def test_the_costs_are_the_recorded_ones() -> None:
    recorded, measured = json.loads(GOLDEN.read_text()), golden()
    assert recorded.keys() == measured.keys()
    for name in recorded:
        assert measured[name] == recorded[name], name


@pytest.mark.parametrize("family", families.names())
def test_counts_are_those_of_a_real_network(family: str) -> None:
    config = families.get(family)()
    complexity, model = measure(config, SMALL, batch_size=1), config.build(SMALL).eval()
    assert complexity.params == sum(parameter.numel() for parameter in model.parameters())
    outputs: list[int] = []
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.register_forward_hook(lambda _module, _inputs, out: outputs.append(out.numel()))
    with FlopCounterMode(display=False) as counter:
        model(torch.randn(1, 3, 32, 32))
    assert complexity.flops == counter.get_total_flops() // 2
    assert complexity.activations == sum(outputs)


@pytest.mark.parametrize("family", families.names())
def test_memory_is_that_of_a_real_step(family: str) -> None:
    config, batch_size = families.get(family)(), 8
    model = config.build(SMALL)
    weights = {tensor.data_ptr() for tensor in model.state_dict().values()}
    saved: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        model(torch.randn(batch_size, 3, 32, 32))
    kept = sum(t.untyped_storage().nbytes() for address, t in saved.items() if address not in weights)
    states = 4 * 4 * sum(parameter.numel() for parameter in model.parameters())
    estimate = measure(config, SMALL, batch_size=batch_size).peak_train_bytes
    assert estimate == pytest.approx(states + kept, rel=0.02)


def test_memory_grows_with_the_batch_and_halves_its_activations_in_bfloat16() -> None:
    config = families.get("resnet")()

    def peak(batch_size: int, precision: str) -> int:
        return measure(config, SMALL, batch_size=batch_size, precision=precision).peak_train_bytes

    states = peak(0, "float32")
    assert peak(256, "float32") - states == 2 * (peak(128, "float32") - states)
    assert peak(256, "bfloat16") - states == pytest.approx((peak(256, "float32") - states) / 2, rel=1e-6)


def test_measuring_leaves_the_random_state_alone_and_is_quick() -> None:
    measure(families.get("resnet")(), SMALL, batch_size=128)
    before, seconds = torch.get_rng_state(), []
    for family in families.names():
        began = time.process_time()
        measure(families.get(family)(), SMALL, batch_size=128)
        seconds.append(time.process_time() - began)
    assert torch.equal(torch.get_rng_state(), before)
    assert min(seconds) < 0.05


def test_json_round_trip() -> None:
    complexity = measure(families.get("lenet")(), SMALL, batch_size=1)
    assert Complexity.from_dict(json.loads(json.dumps(complexity.to_dict()))) == complexity


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden(), indent=1, ensure_ascii=False) + "\n")
