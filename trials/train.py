"""The training loop. It knows no Ray, Optuna or MLflow: it takes a model and yields measurements."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from search_space.errors import DivergedError, StudyInterrupted
from search_space.recipe import TrainingRecipe
from search_space.schedules import factor_at
from trials import metrics
from trials.batches import Batches
from trials.config import Measurement
from trials.evaluate import probabilities
from trials.precision import Precision

_SEEDS = 2**31


@dataclass(kw_only=True)
class TrainingState:
    """What an epoch changes: together with the recipe and seed it determines all that follows."""

    model: nn.Module
    optimizer: Optimizer
    epoch: int = 0  # last finished
    measurements: list[Measurement] = field(default_factory=list)
    probabilities: Tensor | None = None  # (N, K) validation probabilities of the last finished epoch


def train(
    state: TrainingState,
    training: Batches,
    validation: Batches,
    recipe: TrainingRecipe,
    *,
    seed: int,
    precision: Precision,
    should_stop: Callable[[], bool],
) -> Iterator[Measurement]:
    """Train from where ``state`` is to the recipe's last epoch, yielding a measurement after each.

    Every epoch draws its randomness from ``seed`` and its own number, so a resumed run goes on exactly
    as it would have gone. Raises ``DivergedError`` when the loss is not finite, ``StudyInterrupted``
    as soon as ``should_stop()`` holds.
    """
    labels = validation.labels.cpu().numpy()
    steps = math.ceil(len(training) / recipe.batch_size)
    for epoch in range(state.epoch + 1, recipe.epochs + 1):
        began = time.perf_counter()
        generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % _SEEDS)
        torch.manual_seed(generator.initial_seed())  # dropout draws from the global generator
        losses: list[Tensor] = []
        state.model.train()
        for step, (images, targets) in enumerate(
            training.shuffled(recipe.batch_size, recipe.augmentation, generator)
        ):
            if should_stop():
                raise StudyInterrupted("stopped within an epoch")
            progress = (epoch - 1 + (step + 1) / steps) / recipe.epochs
            rate = recipe.optimizer.learning_rate * factor_at(recipe.schedule, progress, warmup=recipe.warmup)
            loss = _step(state, images, targets, recipe, rate, precision)
            losses.append(loss)  # left on the device: reading it would wait for it
        trained = time.perf_counter()
        train_loss = torch.stack(losses).mean().item()
        if not math.isfinite(train_loss):
            raise DivergedError(f"the training loss became {train_loss} in epoch {epoch}")
        state.probabilities = probabilities(state.model, validation, precision)
        before = state.measurements[-1].elapsed_s if state.measurements else 0.0
        measurement = Measurement(
            epoch=epoch,
            train_loss=train_loss,
            val_loss=metrics.nll(state.probabilities.numpy(), labels),
            val_accuracy=metrics.accuracy(state.probabilities.numpy(), labels),
            learning_rate=rate,
            elapsed_s=before + time.perf_counter() - began,
            images_per_s=len(training) / (trained - began),
        )
        if not math.isfinite(measurement.val_loss):
            raise DivergedError(f"the validation loss became {measurement.val_loss} in epoch {epoch}")
        state.epoch = epoch
        state.measurements.append(measurement)
        yield measurement


def _step(
    state: TrainingState,
    images: Tensor,
    targets: Tensor,
    recipe: TrainingRecipe,
    rate: float,
    precision: Precision,
) -> Tensor:
    """One update of the weights; returns the detached mean loss of the batch."""
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    with precision.autocast():
        logits = state.model(images)  # (N, K)
    loss = cross_entropy(logits.float(), targets, label_smoothing=recipe.label_smoothing)
    state.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    state.optimizer.step()
    return loss.detach()
