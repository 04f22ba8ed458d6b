"""The training loop. It knows no Ray, Optuna or MLflow: it takes a model and yields measurements."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from convscout.search_space.averaging import averaging_rate
from convscout.search_space.classifier import Classifier
from convscout.search_space.errors import StudyInterrupted
from convscout.search_space.losses import class_weights, focal_loss
from convscout.search_space.parameter_groups import set_learning_rate
from convscout.search_space.recipe import TrainingRecipe
from convscout.trials.compute.precision import Precision
from convscout.trials.compute.seeding import nth_seed, seed_generators
from convscout.trials.config import Estimate, Measurement
from convscout.trials.data.batches import Batches
from convscout.trials.evaluation import metrics
from convscout.trials.evaluation.probabilities import answers_of, probabilities
from convscout.trials.training.averaging import Averaging
from convscout.trials.training.first_steps import FirstSteps
from convscout.trials.training.graphed_step import Graph, GraphedStep
from convscout.trials.training.loss_scale import LossScale
from convscout.trials.training.loss_watch import LossWatch, check_finite
from convscout.trials.training.memory_guard import MemoryGuard
from convscout.trials.training.time_limit import TimeLimit

AUXILIARY_WEIGHT = 0.3  # of an auxiliary head's loss (Szegedy et al., 2015, section 5)
_SEEDS = 2**31

Loss = Callable[[Tensor, Tensor], Tensor]  # of logits (N, K) and targets (N, K)


@dataclass(kw_only=True)
class TrainingState:
    """What an epoch changes: together with the recipe and seed it determines all that follows."""

    model: Classifier
    optimizer: Optimizer
    average: Classifier | None = None  # of the model's states over the steps, where the recipe wants one
    loss_scale: LossScale | None = None  # where it trains in float16
    epoch: int = 0  # last finished
    progress: float = 0.0  # share of the schedule that is over
    measurements: list[Measurement] = field(default_factory=list)
    probabilities: Tensor | None = None  # (N, K) validation probabilities of the last finished epoch

    @classmethod
    def of(cls, model: Classifier, recipe: TrainingRecipe) -> Self:
        """The beginning of training a fresh ``model``, with the optimizer and the average that ``recipe`` wants."""
        average = None if recipe.averaging == "none" else copy.deepcopy(model)
        return cls(model=model, optimizer=recipe.optimizer.build(model), average=average)

    @property
    def evaluated(self) -> Classifier:
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
    new_graph: Callable[[], Graph] | None = None,
    teacher: nn.Module | None = None,
    limit: TimeLimit | None = None,
    reported: int = 0,
) -> Iterator[Measurement | Estimate]:
    """Train from where ``state`` is to the recipe's last epoch or the ``limit``, yielding a measurement after each.

    In the first of them, if it is not over before, it yields an estimate of how long they will take. Every
    epoch draws its randomness from ``seed`` and its own number, so a resumed run goes on exactly as it would
    have gone. With ``new_graph`` steps are recorded and replayed (see ``GraphedStep``). A ``teacher`` says of each
    augmented batch what is to be learnt of it (N, K), instead of its labels. Where the time of ``limit`` would end
    before the epochs do, the schedule goes by the clock: it ends with the time, even within an epoch, and what was
    learnt by then is validated. Epochs up to ``reported`` have been told before, and are trained whole. Nothing
    within an epoch waits for a GPU. Raises ``DivergedError`` when the loss is not finite, ``StudyInterrupted`` as soon
    as ``should_stop()`` holds.
    """
    steps = math.ceil(len(training) / recipe.batch_size)
    take_step = make_step(state, make_loss(recipe, training), recipe, precision, new_graph)
    averaging = None if state.average is None else Averaging(state.average, state.model)
    memory = MemoryGuard()
    first_steps = FirstSteps(len(training), len(validation), steps)
    limit, since, step_s = limit or TimeLimit(), state.progress, 0.0
    for epoch in range(state.epoch + 1, recipe.epochs + 1):
        began = time.perf_counter()
        generator = torch.Generator().manual_seed(nth_seed(seed, epoch) % _SEEDS)
        seed_generators(generator.initial_seed())  # dropout draws from the global one
        # one tensor for all, as many small ones between the large ones of the steps would break up the heap
        losses = torch.zeros(steps, device=precision.device)
        watch = LossWatch(epoch)
        state.model.train()
        mirrored = mirrored_in(epoch, seed, len(training)) if recipe.augmentation.alternating else None
        batches = training.shuffled(recipe.batch_size, recipe.policies, generator, mirrored)
        for index, (images, targets) in enumerate(batches):
            if should_stop():
                raise StudyInterrupted("stopped within an epoch")
            step = (epoch - 1) * steps + index + 1
            over = max(step / (steps * recipe.epochs), limit.progress(since, step_s))
            state.progress = max(state.progress, over)
            rate = recipe.rate_at(state.progress)
            set_learning_rate(state.optimizer, rate)
            if teacher:
                targets = answers_of(teacher, images, precision)
            losses[index] = memory.run(partial(take_step, images, targets))
            watch.see(losses[index])
            if averaging:
                in_all = round(step / state.progress)
                averaging.follow(averaging_rate(recipe.averaging, step, in_all, decay=recipe.ema_decay))
            if epoch_s := first_steps.epoch_s(index + 1):
                yield Estimate(epoch_s=epoch_s)
            step_s = (time.perf_counter() - began) / (index + 1)
            if not state.measurements:
                limit.validation_s = step_s * first_steps.validation_steps
            if state.progress >= 1 and epoch > reported:
                break
        batches.close()
        seen = min(1.0, (index + 1) / steps)
        train_loss = losses[: index + 1].mean().item()  # the first read of a device that runs ahead
        trained = time.perf_counter()
        check_finite("training", train_loss, epoch)
        scores = _judge(state, validation, precision, epoch)
        before = state.measurements[-1].elapsed_s if state.measurements else 0.0
        measurement = Measurement(
            epoch=epoch,
            train_loss=train_loss,
            **scores,
            learning_rate=rate,
            elapsed_s=before + time.perf_counter() - began,
            images_per_s=seen * len(training) / (trained - began),
            precision=precision.name,
            eager_reason=take_step.why_eager,
            share=seen,
            last=state.progress >= 1 and epoch > reported and step < steps * recipe.epochs,
        )
        limit.validation_s = time.perf_counter() - trained
        state.epoch = epoch
        state.measurements.append(measurement)
        yield measurement
        if measurement.last:
            return


def mirrored_in(epoch: int, seed: int, num_images: int) -> Tensor:
    """Which images an alternating policy mirrors in that epoch, (N,) bool: half of them, then the others, and so on."""
    first = torch.rand(num_images, generator=torch.Generator().manual_seed(nth_seed(seed, 0) % _SEEDS)) < 0.5
    return first if epoch % 2 else ~first


def make_loss(recipe: TrainingRecipe, training: Batches) -> Loss:
    """The loss that ``recipe`` asks for, with class weights after the labels of ``training``."""
    return partial(
        focal_loss,
        gamma=recipe.focal_gamma if recipe.loss == "focal" else 0.0,
        label_smoothing=recipe.label_smoothing,
        weights=class_weights(recipe.class_weights, training.labels, training.num_classes),
    )


def make_step(
    state: TrainingState,
    loss: Loss,
    recipe: TrainingRecipe,
    precision: Precision,
    new_graph: Callable[[], Graph] | None,
) -> GraphedStep:
    """``training_step`` of everything but the batch."""
    if precision.dtype is torch.float16 and state.loss_scale is None:
        state.loss_scale = LossScale(precision.device)

    def step(images: Tensor, targets: Tensor, parts: int) -> Tensor:
        return training_step(state, images, targets, loss, recipe, precision, parts)

    return GraphedStep(step, new_graph)


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
        made_small = share * (main + AUXILIARY_WEIGHT * sum(auxiliary))
        torch.autograd.backward(state.loss_scale.scaled(made_small) if state.loss_scale else made_small)
        total += share * main.detach()
    if state.loss_scale:
        state.loss_scale.unscale([p.grad for p in state.model.parameters() if p.grad is not None])
    if recipe.clipping == "norm":
        clip_grad_norm_(state.model.parameters(), recipe.clip_norm)
    state.optimizer.step()
    return total


def _judge(state: TrainingState, validation: Batches, precision: Precision, epoch: int) -> dict[str, float]:
    """What a ``Measurement`` says of the validation images, whose probabilities are kept in ``state``.

    Raises ``DivergedError`` where these are not finite.
    """
    state.probabilities = probabilities(state.evaluated, validation, precision)
    answers, labels = state.probabilities.numpy(), validation.labels.cpu().numpy()
    val_loss = metrics.nll(answers, labels)
    check_finite("validation", val_loss, epoch)  # first, as the others make no sense of what is not finite
    return {
        "val_loss": val_loss,
        "val_accuracy": metrics.accuracy(answers, labels),
        "val_balanced_accuracy": metrics.balanced_accuracy(answers, labels),
        "val_macro_f1": metrics.macro_f1(answers, labels),
        "val_calibration_error": metrics.calibration_error(answers, labels),
    }
