"""A step that runs out of memory is taken in parts and comes to the same; one that never fits ends its trial alone."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from convscout.search_space.architecture import families
from convscout.search_space.classifier import Classifier
from convscout.trials.compute.precision import Precision
from convscout.trials.config import Measurement, TrialState
from convscout.trials.data.batches import Batches
from convscout.trials.training.loop import TrainingState, make_loss, train, training_step
from convscout.trials.training.memory_guard import MOST_PARTS
from convscout.trials.training.run import TrialRun
from tests.support.digits import digits, dispatch, recipe

CPU = torch.device("cpu")
FLOAT32 = Precision(CPU, torch.float32)


class Cramped:
    """Memory for so many images at a time: more raise what a GPU would."""

    def __init__(self, fits: int) -> None:
        self.fits = fits
        self.seen: list[int] = []

    def forward_training(self, images: Tensor) -> None:
        self.seen.append(len(images))
        if len(images) > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory.")


def state(**knobs: object) -> TrainingState:
    torch.manual_seed(0)
    model = families.get("lenet")(width=8, norm_placement="none", **knobs).build(digits().image)
    return TrainingState(model=model, optimizer=recipe().optimizer.build(model))


def batches() -> Batches:
    data = digits()
    return Batches(data.train.at(np.arange(150)), data.normalization, num_classes=10, device=CPU)


def confine(monkeypatch: pytest.MonkeyPatch, model: type[Classifier], fits: int) -> Cramped:
    cramped, roomy = Cramped(fits), model.forward_training

    def forward_training(self: Classifier, images: Tensor) -> list[Tensor]:
        cramped.forward_training(images)
        return roomy(self, images)

    monkeypatch.setattr(model, "forward_training", forward_training)
    return cramped


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_the_gradients_of_the_parts_add_up_to_that_of_the_batch(parts: int) -> None:
    whole = state()
    divided = copy.deepcopy(whole)
    divided.optimizer = recipe().optimizer.build(divided.model)
    training = batches()
    (images,) = training.in_order(150)
    targets = torch.nn.functional.one_hot(training.labels, 10).float()
    loss = make_loss(recipe(), training)
    losses = [
        training_step(each, images, targets, loss, recipe(clipping="norm"), FLOAT32, parts=number)
        for each, number in ((whole, 1), (divided, parts))
    ]
    torch.testing.assert_close(losses[1], losses[0])
    for one, other in zip(whole.model.parameters(), divided.model.parameters(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-6)


def test_a_batch_that_does_not_fit_is_halved_for_the_rest_of_the_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def measurements() -> list[Measurement]:
        mine = state()
        return list(
            train(
                mine,
                batches(),
                batches(),
                recipe(epochs=2),
                seed=1,
                precision=FLOAT32,
                should_stop=lambda: False,
            )
        )

    expected = measurements()
    cramped = confine(monkeypatch, type(state().model), fits=20)
    found = measurements()
    assert cramped.seen[:7] == [64, 32, 16, 16, 16, 16, 16]
    assert max(cramped.seen[2:]) <= 20
    assert [m.train_loss for m in found] == pytest.approx([m.train_loss for m in expected], rel=1e-3)


def test_a_network_that_fits_in_no_way_fails_alone_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = dispatch(tmp_path)
    model = type(order.config.architecture.build(digits().image))
    with monkeypatch.context() as patch:
        cramped = confine(patch, model, fits=0)
        ended = TrialRun(order, digits()).epoch().result
    assert ended is not None and ended.state is TrialState.FAILED
    assert ended.error == "OutOfMemoryError: CUDA out of memory."
    assert cramped.seen == [64, 32, 64 // MOST_PARTS]
    assert TrialRun(dispatch(tmp_path / "next"), digits()).epoch().measurement is not None
