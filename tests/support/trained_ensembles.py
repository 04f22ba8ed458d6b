"""A small ensemble of real networks, for the tests of export and prediction."""

from __future__ import annotations

import numpy as np
import torch

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.services.ensembles.trained import TrainedEnsemble, TrainedMember
from convscout.trials.data.splits import Normalization, Pixels

SIZES = {"lenet": {"width": 8, "depth": 2}, "resnet": {}, "vgg": {}}


def trained_ensemble(*family_names: str, channels: int = 3, image_size: int = 16) -> TrainedEnsemble:
    """Networks that saw a few batches, so that norm statistics are not those of a fresh network."""
    image = ImageSpec(in_channels=channels, image_size=image_size, num_classes=4)
    weights = np.arange(len(family_names), 0, -1) / np.arange(1, len(family_names) + 1).sum()
    return TrainedEnsemble(
        study="pets",
        data="folder:pets",
        fingerprint="5e" * 32,
        class_names=("cat", "dog | wolf", "<img onerror>", "Ünicorn"),
        image=image,
        normalization=Normalization(mean=(0.5, 0.4, 0.3)[:channels], std=(0.2, 0.25, 0.3)[:channels]),
        members=tuple(
            _member(10 * number + 2, float(weight), families.get(name)(**SIZES[name]), image)
            for number, (name, weight) in enumerate(zip(family_names, weights, strict=True))
        ),
        metrics={"test.accuracy": 0.9375},
        temperature=1.25,
    )


def random_images(count: int, ensemble: TrainedEnsemble, seed: int = 0) -> Pixels:
    """(count, H, W, C) noise of differing brightness."""
    image, rng = ensemble.image, np.random.default_rng(seed)
    brightness = rng.uniform(0.2, 1, (count, 1, 1, image.in_channels))
    noise = rng.integers(256, size=(count, image.image_size, image.image_size, image.in_channels))
    return (noise * brightness).astype(np.uint8)


def _member(number: int, weight: float, architecture: ArchitectureConfig, image: ImageSpec) -> TrainedMember:
    torch.manual_seed(number)
    model = architecture.build(image)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(4):
        batch = torch.randn(16, image.in_channels, image.image_size, image.image_size)
        loss = torch.nn.functional.cross_entropy(model(batch), torch.arange(16) % image.num_classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return TrainedMember(
        number=number,
        weight=weight,
        temperature=0.8,
        architecture=architecture,
        weights=model.state_dict(),
        view=("mirrored", "shifted", "plain")[number // 10 % 3],
    )
