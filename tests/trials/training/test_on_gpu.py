"""On a GPU: replayed steps come to what eager ones come to, and nothing within an epoch waits for it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import dropout

from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.augmentation import augmentations
from convscout.search_space.classifier import Classifier
from convscout.search_space.errors import UnbuildableError
from convscout.search_space.optimizer import optimizers
from convscout.search_space.recipe import TrainingRecipe
from convscout.search_space.transfer import to_device
from convscout.trials.compute.precision import Precision
from convscout.trials.config import Measurement
from convscout.trials.data.batches import Batches
from convscout.trials.data.splits import LabelledImages, Normalization
from convscout.trials.evaluation.probabilities import probabilities
from convscout.trials.training.cuda_graph import graphs_for
from convscout.trials.training.graphed_step import WARM_UP, GraphedStep
from convscout.trials.training.loop import TrainingState, train
from tests.support.digits import epochs_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

GPU = torch.device("cuda")
IMAGE = ImageSpec(in_channels=3, image_size=32, num_classes=10)
BFLOAT16 = Precision(GPU, torch.bfloat16)


def batches() -> Batches:
    """Ten batches of 32 random images, and one of 20."""
    rng = np.random.default_rng(0)
    data = LabelledImages(
        images=rng.integers(0, 256, (340, 32, 32, 3), dtype=np.uint8), labels=np.arange(340) % 10
    )
    return Batches(data, Normalization(mean=(0.5,) * 3, std=(0.3,) * 3), num_classes=10, device=GPU)


def recipe(optimizer: str = "muon", **changes: Any) -> TrainingRecipe:
    parts: dict[str, Any] = dict(
        optimizer=optimizers.get(optimizer)(), augmentation=augmentations.get("crop_flip")(), epochs=2,
        batch_size=32, averaging="ema", clipping="norm",
    )  # fmt: skip
    return TrainingRecipe(**parts | changes)


def trained(
    model: Classifier, settings: TrainingRecipe, precision: Precision, *, graphed: bool
) -> tuple[TrainingState, list[Measurement]]:
    model.to(GPU).to(memory_format=precision.layout)
    state = TrainingState(model=model, optimizer=settings.optimizer.build(model))
    measurements = train(
        state, batches(), batches(), settings, seed=1, precision=precision, should_stop=lambda: False,
        new_graph=graphs_for(GPU) if graphed else None,
    )  # fmt: skip
    return state, epochs_of(measurements)


def built(family: str, **knobs: Any) -> Classifier:
    torch.manual_seed(0)
    return families.get(family)(**knobs).build(IMAGE)


@pytest.mark.parametrize("family", ["lenet", "resnet", "speednet", "densenet"])
def test_replayed_training_is_eager_training(family: str) -> None:
    (_, eager), (_, replayed) = (
        trained(built(family, dropout_kind="element"), recipe(), BFLOAT16, graphed=graphed)
        for graphed in (False, True)
    )
    assert [m.train_loss for m in replayed] == pytest.approx([m.train_loss for m in eager], abs=1e-3)
    assert [m.precision for m in replayed] == [BFLOAT16.name] * 2


@pytest.mark.parametrize("name", optimizers.names())
def test_every_optimizer_can_be_recorded(name: str) -> None:
    precision = Precision(GPU, torch.float32)
    (_, eager), (_, replayed) = (
        trained(built("lenet"), recipe(name), precision, graphed=graphed) for graphed in (False, True)
    )
    assert [m.precision for m in replayed] == [precision.name] * 2
    assert [m.train_loss for m in replayed] == pytest.approx([m.train_loss for m in eager], abs=1e-3)


@pytest.mark.parametrize("family", [name for name, each in families.items() if each.searched])
def test_every_family_can_be_recorded(family: str) -> None:
    try:
        model = built(family)
    except UnbuildableError as error:
        pytest.skip(str(error))
    _, replayed = trained(model, recipe(epochs=1), BFLOAT16, graphed=True)
    assert replayed[0].precision == BFLOAT16.name


@pytest.mark.parametrize("obstacle", ["item", "random"])
def test_what_cannot_be_recorded_trains_eagerly_and_says_why(
    monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    model = built("lenet")
    roomy = type(model).forward_training

    def forward_training(self: Classifier, images: Tensor) -> list[Tensor]:
        scale = 1 + 0 * images[0, 0, 0, 0].item() if obstacle == "item" else 1 + 0 * random.random()
        return [scale * logits for logits in roomy(self, images)]

    expected = trained(built("lenet"), recipe(), BFLOAT16, graphed=False)[1]
    monkeypatch.setattr(type(model), "forward_training", forward_training)
    state, found = trained(model, recipe(), BFLOAT16, graphed=True)
    reason = "captur" if obstacle == "item" else "random numbers on the CPU"
    assert all(reason in m.eager_reason for m in found)
    assert [m.train_loss for m in found] == pytest.approx([m.train_loss for m in expected], abs=1e-3)
    torch.cuda.synchronize()  # the device works on
    assert all(value.isfinite().all() for value in state.model.state_dict().values())


def test_dropout_differs_from_replay_to_replay_and_repeats_with_its_seed() -> None:
    def step(images: Tensor, targets: Tensor, parts: int) -> Tensor:
        return dropout(images).sum()

    take, images = GraphedStep(step, graphs_for(GPU)), torch.rand(1000, device=GPU)
    for _ in range(WARM_UP):
        take(images, images, 1)
    drawn = []
    for _ in range(2):
        torch.manual_seed(3)
        drawn.append([take(images, images, 1).item() for _ in range(5)])
    assert not take.why_eager
    assert len(set(drawn[0])) == 5
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("name", optimizers.names())
def test_float16_stays_finite(name: str) -> None:
    precision = Precision(GPU, torch.float16)
    state, measurements = trained(built("resnet"), recipe(name), precision, graphed=True)
    assert [m.precision for m in measurements] == [precision.name] * 2
    assert state.loss_scale is not None and 0 < state.loss_scale.state_dict()["scale"].item() < torch.inf
    assert all(value.isfinite().all() for value in state.model.state_dict().values())


def watched(monkeypatch: pytest.MonkeyPatch, method: str, *, first: int) -> list[int]:
    """Let waiting for the GPU raise while batches are drawn by ``method``, from the ``first`` time on."""
    draw, calls = getattr(Batches, method), []

    def drawn(self: Batches, *arguments: Any) -> Iterator[Any]:
        calls.append(len(calls))
        torch.cuda.set_sync_debug_mode("error" if len(calls) >= first else "default")
        try:
            yield from draw(self, *arguments)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Batches, method, drawn)
    return calls


@pytest.mark.parametrize(
    "distortion", ["none", "mixup", "cutmix", "trivial_augment", "random_erasing", "affine"]
)
@pytest.mark.parametrize("graphed", [False, True], ids=["eager", "replayed"])
def test_nothing_within_an_epoch_waits(
    monkeypatch: pytest.MonkeyPatch, graphed: bool, distortion: str
) -> None:
    calls = watched(monkeypatch, "shuffled", first=2)  # the first epoch records, which may wait
    settings = recipe(distortion=augmentations.get(distortion)())
    trained(built("resnet"), settings, BFLOAT16, graphed=graphed)
    assert len(calls) == 2


def test_nothing_within_an_evaluation_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    model = built("resnet").to(GPU)
    expected = probabilities(model, batches(), BFLOAT16)
    calls = watched(monkeypatch, "in_order", first=1)
    torch.testing.assert_close(probabilities(model, batches(), BFLOAT16), expected)
    assert len(calls) == 1


def test_what_is_moved_arrives() -> None:
    numbers = [torch.arange(start, start + 1000) for start in range(50)]
    moved = [to_device(number, GPU) for number in numbers]
    assert all(torch.equal(there.cpu(), here) for there, here in zip(moved, numbers, strict=True))
