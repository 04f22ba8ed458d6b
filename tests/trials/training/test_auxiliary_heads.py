"""Auxiliary heads in training: they join the gradient with their weight, and nothing that is reported."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.augmentation import augmentations
from convscout.search_space.optimizer import optimizers
from convscout.search_space.recipe import TrainingRecipe
from convscout.trials.compute.precision import Precision
from convscout.trials.data.batches import Batches
from convscout.trials.data.splits import LabelledImages, Normalization
from convscout.trials.training.loop import AUXILIARY_WEIGHT, TrainingState, train

CPU = torch.device("cpu")


def noise_batches(num_images: int) -> Batches:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (num_images, 16, 16, 3), dtype=np.uint8)
    data = LabelledImages(images=images, labels=np.arange(num_images) % 4)
    return Batches(data, Normalization(mean=(0.5,) * 3, std=(0.3,) * 3), num_classes=4, device=CPU)


def test_a_step_follows_the_weighted_sum_of_the_losses() -> None:
    batches = noise_batches(16)
    optimizer = optimizers.get("sgd")(learning_rate=0.1, momentum=0.0, weight_decay=0.0, nesterov=False)
    recipe = TrainingRecipe(
        optimizer=optimizer,
        augmentation=augmentations.get("none")(),
        epochs=1,
        batch_size=16,
        schedule="constant",
        warmup=0.0,
        label_smoothing=0.0,
    )
    torch.manual_seed(0)
    config = families.get("inception_v3")(auxiliary=True, norm_placement="none")
    model = config.build(ImageSpec(in_channels=3, image_size=16, num_classes=4))
    expected = copy.deepcopy(model).train()
    state = TrainingState(model=model, optimizer=optimizer.build(model))
    precision = Precision(CPU, torch.float32)
    (measurement,) = train(
        state, batches, batches, recipe, seed=0, precision=precision, should_stop=lambda: False
    )

    (images,) = batches.in_order()
    main, auxiliary = (cross_entropy(answer, batches.labels) for answer in expected.forward_training(images))
    assert abs(main.item() - auxiliary.item()) > 1e-3
    assert measurement.train_loss == pytest.approx(main.item(), rel=1e-4)
    (main + AUXILIARY_WEIGHT * auxiliary).backward()
    for (name, before), after in zip(expected.named_parameters(), model.parameters(), strict=True):
        assert before.grad is not None, name
        torch.testing.assert_close(after, before - 0.1 * before.grad, rtol=1e-3, atol=1e-5)
