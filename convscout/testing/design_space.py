"""Kits for what a candidate is made of: architecture families, optimizers and augmentations."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec
from convscout.search_space.augmentation import AugmentationConfig
from convscout.search_space.configurable import Configurable
from convscout.search_space.optimizer import OptimizerConfig

IMAGE = ImageSpec(in_channels=3, image_size=32, num_classes=10, symmetries=("horizontal_flip",))


def check_family(family: type[ArchitectureConfig], image: ImageSpec = IMAGE) -> None:
    """The default network of ``family`` can be stored, built twice alike, trained a step and asked.

    ``image`` is what it is built for. Published variants can be stored.
    """
    config = family()
    for each in (config, *(family.published(variant) for variant in family.variants)):
        _check_stored(each)
    twins = [_build(config, image) for _ in range(2)]
    for (name, one), (_, other) in zip(*(twin.state_dict().items() for twin in twins), strict=True):
        assert torch.equal(one, other), f"{name} differs although torch's seed is the same"
    network = twins[0]
    images = torch.randn(
        (4, image.in_channels, image.image_size, image.image_size),
        generator=torch.Generator().manual_seed(0),
    )
    labels = torch.arange(4) % image.num_classes
    network.train()
    every = network.forward_training(images)
    for logits in every:
        _check_logits(logits, image)
    loss: Tensor = sum((cross_entropy(logits, labels) for logits in every), torch.zeros(()))
    loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"{name} has no gradient"
            assert parameter.grad.isfinite().all(), f"the gradient of {name} is not finite"
    network.eval()
    with torch.inference_mode():
        _check_logits(network(images), image)


def check_optimizer(optimizer: type[OptimizerConfig]) -> None:
    """The default ``optimizer`` can be stored, learns, goes on from a saved state, and says what it keeps."""
    config = optimizer()  # type: ignore[call-arg]  # every knob has a default
    _check_stored(config)
    model = _small_network()
    made = config.build(model)
    first = _step(model, made)
    for parameter in model.parameters():
        kept = [
            value.numel()
            for name, value in made.state[parameter].items()
            if name != "step" and isinstance(value, Tensor)
        ]
        said = config.state_size(parameter) * parameter.numel()
        assert sum(kept) == said, f"it keeps {sum(kept)} numbers for a parameter and says {said}"
    last = min(_step(model, made) for _ in range(60))
    assert last < first, f"the loss was {first:.3g} and never came below"
    other = copy.deepcopy(model)
    resumed = config.build(other)
    resumed.load_state_dict(copy.deepcopy(made.state_dict()))
    ours, theirs = ([_step(*pair) for _ in range(3)] for pair in ((model, made), (other, resumed)))
    assert ours == theirs, "it does not go on from its state as it would have gone on"


def check_augmentation(augmentation: type[AugmentationConfig]) -> None:
    """The default ``augmentation`` can be stored, keeps shapes and arguments, and draws from its generator alone."""
    config = augmentation()
    _check_stored(config)
    images = torch.randn((16, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    images, targets = (
        images.contiguous(memory_format=torch.channels_last),
        torch.eye(10)[torch.arange(16) % 10],
    )
    before, state = (images.clone(), targets.clone()), torch.get_rng_state()
    answers = [config.apply(images, targets, torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(images, before[0]) and torch.equal(targets, before[1]), "it writes to its arguments"
    assert torch.equal(torch.get_rng_state(), state), "it draws from torch's global generator"
    for one, other in zip(*answers, strict=True):
        assert torch.equal(one, other), "it differs although the generator's seed is the same"
    changed, mixed = answers[0]
    assert changed.shape == images.shape and changed.dtype == images.dtype, "images come back of another kind"
    assert changed.isfinite().all(), "some pixels are not finite"
    assert mixed.shape == targets.shape, "targets come back of another shape"
    assert torch.allclose(mixed.sum(dim=1), torch.ones(16)), "targets do not sum to 1"


def _check_stored(config: Configurable) -> None:
    told: Mapping[str, Any] = json.loads(json.dumps(config.to_dict()))
    assert type(config).from_dict(told) == config, f"{config} is not what was stored of it"


def _build(config: ArchitectureConfig, image: ImageSpec) -> Any:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return config.build(image)


def _check_logits(logits: Tensor, image: ImageSpec) -> None:
    expected = (4, image.num_classes)
    assert logits.shape == expected, f"logits have shape {tuple(logits.shape)}, not {expected}"
    assert logits.isfinite().all(), "some logits are not finite"


def _small_network() -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4)
        )


def _step(model: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    """One step on the same eight images; returns the loss before it."""
    images = torch.randn((8, 3, 8, 8), generator=torch.Generator().manual_seed(1))
    optimizer.zero_grad()
    loss = cross_entropy(model(images), torch.arange(8) % 4)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.item()
