"""The whole design space: whatever is sampled builds, trains, travels, replays and costs what was foretold."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from optuna.trial import FixedTrial
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from convscout.search_space.architecture import (
    ArchitectureConfig,
    ImageSpec,
    architecture_from_dict,
    families,
)
from convscout.search_space.complexity_meter import measure
from convscout.search_space.errors import UnbuildableError
from convscout.search_space.families.pretrained import weights_file
from convscout.search_space.knobs import Choice, Integer, Knob, Override, Real
from convscout.search_space.layers import DropBlock
from tests.search_space.conftest import publish
from tests.support.soaking import repetitions
from tests.support.variants import recipe_for

CLASSES = 5
RUNS = repetitions(1, 20)
LARGEST_ENLARGED = 128  # pixels a side that pretrained networks are shown, as larger ones take seconds each
DROPPING = (nn.Dropout, nn.Dropout2d, DropBlock)

IMAGES = st.builds(
    ImageSpec,
    image_size=st.sampled_from((8, 28, 32, 64, 96)),
    in_channels=st.sampled_from((1, 3)),
    num_classes=st.just(CLASSES),
)


class Drawn:
    """A suggester whose answers hypothesis draws, and so can shrink; ``params`` are those given."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data
        self.params: dict[str, Any] = {}

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return self._draw(name, st.integers(0, (high - low) // step).map(lambda steps: low + step * steps))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        assert step is None, name
        return self._draw(name, st.floats(low, high))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._draw(name, st.sampled_from(choices))

    def _draw(self, name: str, values: st.SearchStrategy[Any]) -> Any:
        self.params[name] = self._data.draw(values, label=name)
        return self.params[name]


def overridden(family: type[ArchitectureConfig], image: ImageSpec, *, widen: bool) -> dict[str, Override]:
    """What is sampled instead of the family's own ranges: with ``widen``, all legal choices and the least numbers."""
    overrides: dict[str, Override] = {}
    if widen:
        overrides = {f"{family.name}.{field}": widened(knob) for field, knob in family.knobs().items()}
    if family.name == "pretrained":
        enlarge = family.knobs()["enlarge"]
        assert isinstance(enlarge, Choice)
        factors = [
            factor
            for factor in (enlarge.legal if widen else enlarge.choices)
            if factor == 1 or factor * image.image_size <= LARGEST_ENLARGED
        ]
        overrides["pretrained.enlarge"] = {"choices": factors}
    return overrides


def widened(knob: Knob) -> Override:
    """All legal choices; numbers down to the least that is legal, as larger ones only cost more."""
    if isinstance(knob, Choice):
        return {"choices": list(knob.legal)}
    if isinstance(knob, Integer):
        return {"low": knob.low - (knob.low - knob.minimum) // knob.step * knob.step}
    assert isinstance(knob, Real)
    return {"low": knob.low if knob.log and not knob.minimum else knob.minimum}


def network_of(config: ArchitectureConfig, image: ImageSpec) -> nn.Module:
    """The network as a trial would lay it out."""
    if config.name == "pretrained" and not weights_file(config.backbone)[1].exists():
        publish(config.backbone)
    torch.manual_seed(0)
    return config.build(image).to(memory_format=torch.channels_last)


def check_gradients(network: nn.Module, images: Tensor, dtype: torch.dtype) -> bool:
    """A training step in ``dtype``: logits of the right shape, and a finite gradient of whatever learns.

    False where that takes a step without dropout: of two images, dropout may leave nothing of a map, and the
    norm of an empty map multiplies gradients by hundreds, which so many norms in a row carry to infinity.
    """
    network.train()
    train_on(network, images, dtype)
    if finite_gradients(network):
        return True
    for module in network.modules():
        if isinstance(module, DROPPING):
            module.eval()
    train_on(network, images, dtype)
    assert finite_gradients(network), dtype
    return False


def train_on(network: nn.Module, images: Tensor, dtype: torch.dtype) -> None:
    """Leave the gradients of one step in the parameters."""
    network.zero_grad()
    with torch.autocast("cpu", dtype, enabled=dtype is not torch.float32):
        answers = network.forward_training(images)
    for logits in answers:
        assert logits.shape == (len(images), CLASSES)
        assert logits.isfinite().all(), dtype
    targets = torch.arange(len(images)) % CLASSES
    sum(cross_entropy(logits.float(), targets) for logits in answers).backward()


def finite_gradients(network: nn.Module) -> bool:
    """Whether the gradient of whatever learns, which must be there, is finite."""
    learning = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert not [name for name, parameter in learning.items() if parameter.grad is None]
    return all(parameter.grad.isfinite().all() for parameter in learning.values())


def check_strides(network: nn.Module, images: Tensor) -> None:
    """No filter strides over a single pixel, for which torch's CPU kernels leave its gradient unwritten."""

    def look(conv: nn.Module, inputs: tuple[Tensor]) -> None:
        assert conv.stride == (1, 1) or min(inputs[0].shape[2:]) > 1, conv

    hooks = [m.register_forward_pre_hook(look) for m in network.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        network.eval()(images)
    for hook in hooks:
        hook.remove()


def check_costs(network: nn.Module, images: Tensor, config: ArchitectureConfig, image: ImageSpec) -> None:
    """What the meta device foretells is what the real network has."""
    complexity = measure(config, recipe_for(image), image)
    assert complexity.params == sum(p.numel() for p in network.parameters() if p.requires_grad)
    network.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images[:1])
    assert complexity.flops == counter.get_total_flops() // 2


def check_refusal(config: ArchitectureConfig, image: ImageSpec, error: UnbuildableError) -> None:
    """Only filters that do not reach over the edge can use up an image, and what the message advises works."""
    assert config.to_dict().get("padding") == "valid", error
    assert "use padding = 'same'" in error.message
    with pytest.raises(UnbuildableError):
        measure(config, recipe_for(image), image)
    replace(config, padding="same").build(image)


def explore(name: str, examples: int, *, run: int) -> Counter[str]:
    """Prove random points of a family's space; how many were built, refused, and wiped out by dropout."""
    family, seen = families.get(name), Counter[str]()

    @seed(f"{name}, run {run}")
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        print_blob=True,
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
    )
    @given(st.data(), IMAGES, st.integers(2, 3), st.booleans())
    def prove(data: st.DataObject, image: ImageSpec, num_images: int, widen: bool) -> None:
        drawn, overrides = Drawn(data), overridden(family, image, widen=widen)
        config = family.suggest(drawn, overrides)
        assert architecture_from_dict(json.loads(json.dumps(config.to_dict()))) == config
        assert family.suggest(FixedTrial(drawn.params), overrides) == config
        try:
            network = network_of(config, image)
        except UnbuildableError as error:
            seen["refused"] += 1
            check_refusal(config, image, error)
            return
        seen["built"] += 1
        images = torch.randn(num_images, image.in_channels, image.image_size, image.image_size)
        images = images.contiguous(memory_format=torch.channels_last)
        network.initialize_from(images)
        check_strides(network, images)
        for dtype in (torch.float32, torch.bfloat16):
            seen["wiped out"] += not check_gradients(network, images, dtype)
        check_costs(network, images, config, image)

    prove()
    return seen


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread, so that a failure repeats to the last bit, and a torch.hub folder that is thrown away."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with TemporaryDirectory() as hub:
        monkeypatch.setenv("TORCH_HOME", hub)
        yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("family", families.names())
def test_two_samples_of_a_family_keep_all_promises(family: str) -> None:
    seen = explore(family, 2, run=0)
    assert seen["built"] + seen["refused"] >= 2


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(repetitions(1200, 3600))
@pytest.mark.parametrize("family", families.names())
def test_many_samples_of_a_family_keep_all_promises(family: str) -> None:
    """In runs of ten: after its tenth example, hypothesis makes most others by changing those it has."""
    seen = sum((explore(family, 10, run=run) for run in range(RUNS)), Counter[str]())
    assert seen["built"] + seen["refused"] >= 10 * RUNS
    assert seen["refused"] <= 2 * RUNS
    assert seen["wiped out"] <= max(2, RUNS // 2)
