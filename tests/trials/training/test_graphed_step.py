"""A replayed step is the step it stands for, and one that cannot be recorded is taken as before, with the reason."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from convscout.search_space.architecture import families
from convscout.search_space.augmentation import augmentations
from convscout.search_space.optimizer import optimizers
from convscout.search_space.parameter_groups import set_learning_rate
from convscout.search_space.recipe import TrainingRecipe
from convscout.trials.compute.precision import Precision
from convscout.trials.config import Measurement
from convscout.trials.data.batches import Batches
from convscout.trials.training.cuda_graph import graphs_for, no_host_randomness
from convscout.trials.training.graphed_step import WARM_UP, Graph, GraphedStep
from convscout.trials.training.loop import TrainingState, train
from tests.support.digits import digits, epochs_of, recipe
from tests.support.rerun import Rerun

CPU = torch.device("cpu")
EPOCHS, IMAGES, BATCH = 3, 220, 32  # six batches of 32 an epoch and one of 28


class Counted(Rerun):
    """Counts from zero in each test."""


class Broken(Rerun):
    """Fails as CUDA does: first says why, then that it cannot even end the capture."""

    def capture(self, work: Callable[[], Tensor]) -> Tensor:
        super().capture(work)
        try:
            raise RuntimeError("operation not permitted when stream is capturing\nCompile with …")
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")


@pytest.fixture(autouse=True)
def _from_zero() -> None:
    torch.set_num_threads(1)
    Counted.captures = Counted.replays = Broken.captures = Broken.replays = 0


def batches() -> Batches:
    data = digits()
    return Batches(data.train.at(np.arange(IMAGES)), data.normalization, num_classes=10, device=CPU)


def eventful(**changes: Any) -> TrainingRecipe:
    """A recipe with everything that changes from step to step."""
    defaults: dict[str, Any] = dict(
        epochs=EPOCHS, batch_size=BATCH, schedule="one_cycle", averaging="ema", clipping="norm",
        distortion=augmentations.get("mixup")(),
    )  # fmt: skip
    return recipe(**defaults | changes)


def fresh(settings: TrainingRecipe, *, rates_as_tensors: bool = False, **knobs: Any) -> TrainingState:
    """A LeNet with batch norm and dropout; ``rates_as_tensors`` is what a GPU's optimizers have."""
    torch.manual_seed(0)
    architecture = families.get("lenet")(width=8, dropout_kind="element", dropout=0.2, **knobs)
    model = architecture.build(digits().image)
    optimizer = settings.optimizer.build(model)
    if rates_as_tensors:
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"], dtype=torch.float64)  # a CPU's kernels read them as that
    return TrainingState(model=model, optimizer=optimizer, average=copy.deepcopy(model))


def trained(
    settings: TrainingRecipe, new_graph: Callable[[], Graph] | None, **knobs: Any
) -> tuple[TrainingState, list[Measurement]]:
    state = fresh(settings, rates_as_tensors=new_graph is not None, **knobs)
    precision = Precision(CPU, torch.float32)
    measurements = train(
        state, batches(), batches(), settings,
        seed=1, precision=precision, should_stop=lambda: False, new_graph=new_graph,
    )  # fmt: skip
    return state, epochs_of(measurements)


def assert_same_bits(one: TrainingState, other: TrainingState) -> None:
    assert one.average is not None and other.average is not None
    for ours, theirs in ((one.model, other.model), (one.average, other.average)):
        for (name, value), expected in zip(
            ours.state_dict().items(), theirs.state_dict().values(), strict=True
        ):
            assert torch.equal(value, expected), name
    for ours, theirs in zip(one.optimizer.state.values(), other.optimizer.state.values(), strict=True):
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize("name", optimizers.names())
def test_replayed_training_is_eager_training_bit_by_bit(name: str) -> None:
    settings = eventful(optimizer=optimizers.get(name)())
    expected, told = trained(settings, None)
    found, replayed = trained(settings, Counted)
    assert_same_bits(found, expected)
    assert [m.train_loss for m in replayed] == [m.train_loss for m in told]
    assert [m.computed_in for m in replayed] == ["float32 channels-last"] * EPOCHS
    assert Counted.captures == 1
    assert Counted.replays == EPOCHS * (IMAGES // BATCH) - WARM_UP


def test_a_failed_capture_leaves_training_as_it_was_and_says_why() -> None:
    expected, _ = trained(eventful(), None)
    found, told = trained(eventful(), Broken)
    assert_same_bits(found, expected)
    assert Broken.captures == 1, "it is not tried again"
    assert Broken.replays == 0
    reason = "RuntimeError: operation not permitted when stream is capturing"
    assert [(m.precision, m.eager_reason) for m in told] == [("float32 channels-last", reason)] * EPOCHS
    assert told[0].computed_in == f"float32 channels-last, eager: {reason}"


@pytest.mark.parametrize("most", [12, 20], ids=["quarters", "halves"])
def test_what_does_not_fit_is_recorded_in_parts(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    settings = eventful()
    model = type(fresh(settings).model)
    roomy, seen = model.forward_training, []

    def forward_training(self: Any, images: Tensor) -> list[Tensor]:
        seen.append(len(images))
        if len(images) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return roomy(self, images)

    monkeypatch.setattr(model, "forward_training", forward_training)
    expected, _ = trained(settings, None, norm_placement="none")
    eagerly, seen[:] = list(seen), []
    found, told = trained(settings, Counted, norm_placement="none")
    assert seen == eagerly and max(seen[3:]) <= most
    assert_same_bits(found, expected)
    assert Counted.replays == EPOCHS * (IMAGES // BATCH) - WARM_UP, (
        "the first step was taken in parts at last"
    )
    assert told[-1].precision == "float32 channels-last"


def test_a_graph_gives_way_to_a_batch_that_does_not_fit_beside_it() -> None:
    asked: list[tuple[int, int]] = []
    graphs: list[Counted] = []

    def step(images: Tensor, targets: Tensor, parts: int) -> Tensor:
        asked.append((len(images), parts))
        if len(images) == 3 and len(asked) == WARM_UP + 3:
            raise torch.OutOfMemoryError("no room")
        return images.sum() + targets.sum()

    def new_graph() -> Counted:
        graphs.append(Counted())
        return graphs[-1]

    take = GraphedStep(step, new_graph)
    for turn in range(WARM_UP + 2):
        assert take(torch.full((8, 1), float(turn)), torch.ones(8), 1) == 8 * turn + 8
    assert take(torch.ones(3, 1), torch.ones(3), 1) == 6
    assert asked[-2:] == [(3, 1), (3, 1)], "the whole batch again, without the graph"
    assert take(torch.ones(8, 1), torch.ones(8), 1) == 16
    assert Counted.replays == 2 and len(graphs) == 1
    assert take.why_eager == "a batch of another size does not fit into memory beside the graph"


def test_without_a_graph_to_give_way_memory_is_short() -> None:
    def step(images: Tensor, targets: Tensor, parts: int) -> Tensor:
        raise torch.OutOfMemoryError("no room")

    take = GraphedStep(step, Counted)
    with pytest.raises(torch.OutOfMemoryError):
        take(torch.ones(8, 1), torch.ones(8), 1)
    assert take.why_eager == ""


def test_a_cpu_has_no_graphs() -> None:
    assert graphs_for(CPU) is None


def draw_from_torch() -> None:
    torch.rand(3)


def draw_from_python() -> None:
    random.random()


@pytest.mark.parametrize("draw", [draw_from_torch, draw_from_python])
def test_numbers_drawn_on_the_cpu_forbid_a_graph_and_are_given_back(draw: Callable[[], None]) -> None:
    before = torch.get_rng_state(), random.getstate()
    with pytest.raises(RuntimeError, match="random numbers on the CPU"), no_host_randomness():
        draw()
    assert torch.equal(torch.get_rng_state(), before[0]) and random.getstate() == before[1]
    with no_host_randomness():
        torch.rand(3, generator=torch.Generator())
    with pytest.raises(KeyError), no_host_randomness():
        draw()
        raise KeyError("the capture's own")
    assert torch.equal(torch.get_rng_state(), before[0]) and random.getstate() == before[1]


@pytest.mark.parametrize("as_tensors", [False, True])
def test_a_learning_rate_is_set_in_place_where_a_graph_reads_it(as_tensors: bool) -> None:
    optimizer = fresh(eventful(), rates_as_tensors=as_tensors).optimizer
    optimizer.param_groups[1]["lr_scale"] = 0.5
    held = [group["lr"] for group in optimizer.param_groups]
    set_learning_rate(optimizer, 0.25)
    rates = [group["lr"] for group in optimizer.param_groups]
    assert [math.isclose(rate, expected) for rate, expected in zip(rates, (0.25, 0.125), strict=True)] == [
        True
    ] * 2
    if as_tensors:
        assert all(rate is one for rate, one in zip(rates, held, strict=True))
