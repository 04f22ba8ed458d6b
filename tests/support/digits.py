"""Digits for tests of training: the real images, loaded once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from convscout.search_space.architecture import families
from convscout.search_space.augmentation import augmentations
from convscout.search_space.optimizer import optimizers
from convscout.search_space.recipe import TrainingRecipe
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.config import Estimate, Measurement, TrialConfig
from convscout.trials.data.batches import TrainingData
from convscout.trials.data.sources import DataRequest, load
from convscout.trials.training.run import Dispatch


@cache
def digits() -> TrainingData:
    """What a worker sees of scikit-learn's digits."""
    with tempfile.TemporaryDirectory() as cache_directory:
        return TrainingData.of(load(DataRequest(data="digits", seed=0, cache=Path(cache_directory))))


def recipe(**changes: Any) -> TrainingRecipe:
    """A quick recipe in float32; ``learning_rate`` and all fields of the recipe can be changed."""
    rate = changes.pop("learning_rate", 0.05)
    defaults: dict[str, Any] = {
        "optimizer": optimizers.get("sgd")(learning_rate=rate),
        "augmentation": augmentations.get("crop")(),
        "epochs": 4,
        "batch_size": 64,
        "precision": "float32",
    }
    return TrainingRecipe(**{**defaults, **changes})


def dispatch(directory: Path, *, reported: int = 0, attempt: int = 1, **changes: Any) -> Dispatch:
    """An order to train a small LeNet with dropout, so that the random state matters; claims ``directory``."""
    TrialDirectory(directory).claim(attempt)
    architecture = families.get("lenet")(width=16, dropout_kind="element", dropout=0.2)
    config = TrialConfig(
        number=3,
        attempt=attempt,
        dataset=digits().fingerprint,
        architecture=architecture,
        recipe=recipe(**changes),
        seed=11,
    )
    return Dispatch(config=config, directory=str(directory), device="cpu", reported=reported)


def epochs_of(news: Iterable[Measurement | Estimate]) -> list[Measurement]:
    """The epochs that ``train`` tells of; where they take long, it says so amid the first."""
    return [each for each in news if isinstance(each, Measurement)]
