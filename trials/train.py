"""The training loop. It knows no Ray, Optuna or MLflow: it takes a model and yields measurements."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from search_space.architecture import Classifier
from search_space.averaging import averaging_rate
from search_space.errors import StudyInterrupted
from search_space.losses import class_weights, focal_loss
from search_space.recipe import TrainingRecipe
from trials import metrics
from trials.batches import Batches
from trials.config import Measurement
from trials.evaluate import probabilities
from trials.loss_watch import LossWatch, check_finite
from trials.memory_guard import MemoryGuard
from trials.precision import Precision

AUXILIARY_WEIGHT = 0.3  # of an auxiliary head's loss (Szegedy et al., 2015, section 5)
_SEEDS = 2**31

Loss = Callable[[Tensor, Tensor], Tensor]  # of logits (N, K) and targets (N, K)


@dataclass(kw_only=True)
class TrainingState:
    """What an epoch changes: together with the recipe and seed it determines all that follows."""

    model: Classifier
    optimizer: Optimizer
    average: Classifier | None = None  # of the model's states over the steps, where the recipe wants one
    epoch: int = 0  # last finished
    measurements: list[Measurement] = field(default_factory=list)
    probabilities: Tensor | None = None  # (N, K) validation probabilities of the last finished epoch

    @property
    def judged(self) -> Classifier:
        """The network that is validated and kept: the average where there is one."""
        return self.model if self.average is None else self.average


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
    steps = math.ceil(len(training) / recipe.batch_size)
    loss = make_loss(recipe, training)
    memory = MemoryGuard()
    for epoch in range(state.epoch + 1, recipe.epochs + 1):
        began = time.perf_counter()
        generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % _SEEDS)
        torch.manual_seed(generator.initial_seed())  # dropout draws from the global generator
        # one tensor for all, as many small ones between the large ones of the steps would break up the heap
        losses = torch.zeros(steps, device=precision.device)
        watch = LossWatch(epoch)
        state.model.train()
        batches = training.shuffled(recipe.batch_size, recipe.policies, generator)
        for index, (images, targets) in enumerate(batches):
            if should_stop():
                raise StudyInterrupted("stopped within an epoch")
            step = (epoch - 1) * steps + index + 1
            rate = recipe.rate_at(step / (steps * recipe.epochs))
            for group in state.optimizer.param_groups:
                group["lr"] = rate * group["lr_scale"]
            step_in = partial(training_step, state, images, targets, loss, recipe, precision)
            losses[index] = memory.run(step_in)
            watch.see(losses[index])
            _follow(state, recipe, step, steps * recipe.epochs)
        train_loss = losses[: index + 1].mean().item()  # the first read of a device that runs ahead
        trained = time.perf_counter()
        check_finite("training", train_loss, epoch)
        val_loss, val_accuracy = _judge(state, validation, precision)
        check_finite("validation", val_loss, epoch)
        before = state.measurements[-1].elapsed_s if state.measurements else 0.0
        measurement = Measurement(
            epoch=epoch,
            train_loss=train_loss,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            learning_rate=rate,
            elapsed_s=before + time.perf_counter() - began,
            images_per_s=len(training) / (trained - began),
            precision=precision.name,
        )
        state.epoch = epoch
        state.measurements.append(measurement)
        yield measurement


def make_loss(recipe: TrainingRecipe, training: Batches) -> Loss:
    """The loss that ``recipe`` asks for, with class weights after the labels of ``training``."""
    return partial(
        focal_loss,
        gamma=recipe.focal_gamma if recipe.loss == "focal" else 0.0,
        label_smoothing=recipe.label_smoothing,
        weights=class_weights(recipe.class_weights, training.labels, training.num_classes),
    )


def training_step(
    state: TrainingState,
    images: Tensor,
    targets: Tensor,
    loss: Loss,
    recipe: TrainingRecipe,
    precision: Precision,
    parts: int = 1,
) -> Tensor:
    """One update of the weights; returns the detached mean loss of the batch, without auxiliary heads.

    It stays on the device: reading it would wait for the device. In more than one of ``parts`` the batch
    takes less memory and more time.
    """
    state.optimizer.zero_grad(set_to_none=True)  # now, so that they do not stay beside the activations
    total = torch.zeros((), device=images.device)
    parts = min(parts, max(1, len(images) // 2))  # of two images at least, for BatchNorm's sake
    for chunk, wanted in zip(images.tensor_split(parts), targets.tensor_split(parts), strict=True):
        with precision.autocast():
            logits = state.model.forward_training(precision.lay_out(chunk))  # each (N / parts, K)
        main, *auxiliary = (loss(answer.float(), wanted) for answer in logits)
        share = len(chunk) / len(images)
        torch.autograd.backward(share * (main + AUXILIARY_WEIGHT * sum(auxiliary)))
        total += share * main.detach()
    if recipe.clipping == "norm":
        clip_grad_norm_(state.model.parameters(), recipe.clip_norm)
    state.optimizer.step()
    return total


@torch.no_grad()
def _follow(state: TrainingState, recipe: TrainingRecipe, step: int, num_steps: int) -> None:
    """Move the average towards the model: weights and batch statistics alike, counters as they are."""
    if state.average is None:
        return
    rate = averaging_rate(recipe.averaging, step, num_steps, decay=recipe.ema_decay)
    pairs = zip(state.average.state_dict().values(), state.model.state_dict().values(), strict=True)
    for average, current in pairs:
        if average.is_floating_point():
            average.lerp_(current, rate)
        else:
            average.copy_(current)


def _judge(state: TrainingState, validation: Batches, precision: Precision) -> tuple[float, float]:
    """Loss and accuracy on the validation images, whose probabilities are kept in ``state``."""
    state.probabilities = probabilities(state.judged, validation, precision)
    answers, labels = state.probabilities.numpy(), validation.labels.cpu().numpy()
    return metrics.nll(answers, labels), metrics.accuracy(answers, labels)
