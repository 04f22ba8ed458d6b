"""Averaged weights, clipping, focus and class weights in training; and that averages survive interruption."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from convscout.search_space.architecture import families
from convscout.search_space.augmentation import augmentations
from convscout.search_space.optimizer import optimizers
from convscout.search_space.recipe import TrainingRecipe
from convscout.trials.checkpoints.trial_directory import BestEpoch, TrialDirectory
from convscout.trials.compute.precision import Precision
from convscout.trials.config import Measurement, TrialConfig
from convscout.trials.data.batches import Batches, TrainingData
from convscout.trials.data.sources import DataRequest, load
from convscout.trials.evaluation.probabilities import probabilities
from convscout.trials.training.loop import make_loss
from convscout.trials.training.run import Dispatch, TrialRun

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # sums in another order differ in their last bits


@cache
def digits() -> TrainingData:
    with TemporaryDirectory() as cache_directory:
        return TrainingData.of(load(DataRequest(data="digits", seed=0, cache=Path(cache_directory))))


def validation_batches() -> Batches:
    return Batches(digits().validation, digits().normalization, num_classes=10, device=CPU)


def order(directory: Path, *, reported: int = 0, attempt: int = 1, **changes: Any) -> Dispatch:
    """An order to train a small LeNet with dropout; claims ``directory``."""
    TrialDirectory(directory).claim(attempt)
    parts: dict[str, Any] = {
        "optimizer": optimizers.get("sgd")(learning_rate=0.05),
        "augmentation": augmentations.get("crop")(),
        "epochs": 3,
        "batch_size": 64,
        "precision": "float32",
    }
    config = TrialConfig(
        number=1,
        attempt=attempt,
        dataset=digits().fingerprint,
        architecture=families.get("lenet")(width=8, depth=2, dropout_kind="element"),
        recipe=TrainingRecipe(**parts | changes),
        seed=5,
    )
    return Dispatch(config=config, directory=str(directory), device="cpu", reported=reported)


def trained(dispatch: Dispatch, most: int = 100) -> list[Measurement]:
    """The measurements of at most ``most`` epochs, without times."""
    measurements: list[Measurement] = []
    with closing(TrialRun(dispatch, digits())) as run:
        while len(measurements) < most:
            progress = run.epoch()
            if progress.measurement:
                measurements.append(replace(progress.measurement, elapsed_s=0.0, images_per_s=0.0))
            if progress.result is not None:
                assert not progress.result.error
                break
    return measurements


def best(directory: Path) -> BestEpoch:
    found = TrialDirectory(directory).load_best()
    assert found is not None
    return found


def saved(directory: Path) -> dict[str, Any]:
    state = TrialDirectory(directory).load_epoch()
    assert state is not None
    return state


@pytest.mark.parametrize(
    "changes",
    [
        dict(averaging="ema", ema_decay=0.98),
        dict(averaging="swa", distortion=augmentations.get("mixup")(), clipping="norm"),
        dict(averaging="ema", loss="focal", class_weights="balanced", optimizer=optimizers.get("muon")()),
        dict(distortion=augmentations.get("trivial_augment")(), optimizer=optimizers.get("rmsprop")()),
    ],
    ids=["ema", "swa", "muon", "rmsprop"],
)
@pytest.mark.parametrize("cut", [1, 2])
def test_an_interrupted_trial_ends_bit_identically(tmp_path: Path, changes: dict[str, Any], cut: int) -> None:
    straight = trained(order(tmp_path / "straight", **changes))
    first = trained(order(tmp_path / "broken", **changes), most=cut)
    second = trained(order(tmp_path / "broken", reported=cut, attempt=2, **changes))
    assert first + second == straight
    kept, expected = best(tmp_path / "broken"), best(tmp_path / "straight")
    assert torch.equal(kept.probabilities, expected.probabilities)
    assert all(torch.equal(kept.weights[name], value) for name, value in expected.weights.items())
    states = saved(tmp_path / "broken"), saved(tmp_path / "straight")
    for part in ("model", "average"):
        ours, theirs = (state[part] or {} for state in states)
        assert all(torch.equal(ours[name], value) for name, value in theirs.items())


@pytest.mark.parametrize("averaging", ["ema", "swa"])
def test_the_average_is_what_is_judged_and_kept(tmp_path: Path, averaging: str) -> None:
    dispatch = order(tmp_path, averaging=averaging, epochs=6)
    measurements = trained(dispatch)
    assert max(m.val_accuracy for m in measurements) > 0.8
    kept, state = best(tmp_path), saved(tmp_path)
    assert any(not torch.equal(state["average"][name], value) for name, value in state["model"].items())
    if kept.epoch == state["epoch"]:
        assert all(torch.equal(kept.weights[name], value) for name, value in state["average"].items())
    net = dispatch.config.architecture.build(digits().image)
    net.load_state_dict(kept.weights)
    answers = probabilities(net, validation_batches(), Precision(CPU, torch.float32))
    torch.testing.assert_close(answers, kept.probabilities)


def test_an_average_that_forgets_at_once_is_the_model_itself(tmp_path: Path) -> None:
    plain = trained(order(tmp_path / "plain"))
    assert trained(order(tmp_path / "ema", averaging="ema", ema_decay=0.0)) == plain
    state = saved(tmp_path / "ema")
    assert all(torch.equal(state["average"][name], value) for name, value in state["model"].items())
    assert saved(tmp_path / "plain")["average"] is None


def test_clipping_bounds_how_far_weights_move(tmp_path: Path) -> None:
    rate, norm = 0.1, 1e-3
    optimizer = optimizers.get("sgd")(learning_rate=rate, momentum=0.0, weight_decay=0.0)
    dispatch = order(
        tmp_path,
        optimizer=optimizer,
        clipping="norm",
        clip_norm=norm,
        epochs=1,
        schedule="constant",
        warmup=0.0,
    )
    trained(dispatch)
    torch.manual_seed(dispatch.config.seed)
    start = dict(dispatch.config.architecture.build(digits().image).named_parameters())
    ended = best(tmp_path).weights
    moved = sum((ended[name] - value).square().sum() for name, value in start.items()) ** 0.5
    steps = -(-len(digits().train) // 64)
    assert 0.2 * steps * rate * norm < moved <= steps * rate * norm * 1.001


def test_balanced_weights_follow_the_labels_of_the_training_images() -> None:
    labels = digits().train.labels
    few = digits().train.at(
        np.concatenate((np.flatnonzero(labels == 1)[:10], np.flatnonzero(labels == 3)[:30]))
    )
    batches = Batches(few, digits().normalization, num_classes=10, device=CPU)
    recipe = TrainingRecipe(
        optimizer=optimizers.get("sgd")(),
        augmentation=augmentations.get("none")(),
        class_weights="balanced",
        label_smoothing=0.0,
    )
    logits, targets = torch.randn(40, 10), one_hot(batches.labels, 10).float()
    expected = [cross_entropy(logits[part], targets[part]) for part in (slice(10), slice(10, 40))]
    torch.testing.assert_close(make_loss(recipe, batches)(logits, targets), torch.stack(expected).mean())
