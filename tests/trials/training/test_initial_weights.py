"""What a network sees of the training images before its first step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from convscout.search_space.architecture import ImageSpec
from convscout.search_space.families.speednet import SpeedNet, SpeedNetConfig
from convscout.search_space.space import SearchSpace
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.config import TrialConfig, TrialState
from convscout.trials.data.batches import Batches, TrainingData
from convscout.trials.data.splits import LabelledImages, Normalization
from convscout.trials.training.run import Dispatch, TrialRun

IMAGE = ImageSpec(in_channels=1, image_size=8, num_classes=2)


def labelled(num_images: int) -> LabelledImages:
    images = np.random.default_rng(0).integers(0, 256, (num_images, 8, 8, 1), dtype=np.uint8)
    return LabelledImages(images=images, labels=np.arange(num_images) % 2)


def batches(num_images: int) -> Batches:
    normalization = Normalization(mean=(0.5,), std=(0.25,))
    return Batches(labelled(num_images), normalization, num_classes=2, device=torch.device("cpu"))


@pytest.mark.parametrize(
    ("num_images", "count", "seen"), [(10, 20, 10), (10, 10, 10), (10, 5, 5), (101, 10, 10), (7, 1, 1)]
)
def test_some_images_are_spread_over_the_split(num_images: int, count: int, seen: int) -> None:
    split = batches(num_images)
    images = split.spread(count)
    assert len(images) == seen <= count
    everything = torch.cat(list(split.in_order()))
    step = -(-num_images // count)
    assert torch.equal(images, everything[::step])


def test_a_trial_shows_them_once_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Tensor] = []
    whiten = SpeedNet.initialize_from
    monkeypatch.setattr(
        SpeedNet, "initialize_from", lambda self, images: (shown.append(images), whiten(self, images))
    )
    data = TrainingData(
        train=labelled(64), validation=labelled(16), image=IMAGE,
        normalization=Normalization(mean=(0.5,), std=(0.25,)), fingerprint="",
    )  # fmt: skip
    _, recipe = SearchSpace(image=IMAGE, epochs=1, precision="float32").portfolio()[0]
    config = TrialConfig(
        number=0, attempt=1, dataset="", architecture=SpeedNetConfig(), recipe=recipe, seed=0
    )
    directory = TrialDirectory(tmp_path)
    directory.claim(1)
    run = TrialRun(Dispatch(config=config, directory=str(tmp_path), device="cpu", reported=0), data)
    while (progress := run.epoch()).result is None:
        assert len(shown) == 1
    assert progress.result.state is TrialState.COMPLETED
    assert len(shown[0]) == 64
    reference = SpeedNetConfig().build(IMAGE)
    reference.initialize_from(shown[0])
    best = directory.load_best()
    assert best is not None
    assert torch.equal(best.weights["stem.0.weight"], reference.state_dict()["stem.0.weight"])
