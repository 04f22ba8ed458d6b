"""Every family's default configuration learns, with the proven recipe, what a few real images show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from convscout.search_space.architecture import families
from convscout.search_space.recipe import TrainingRecipe
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.config import TrialConfig, TrialState
from convscout.trials.data.batches import TrainingData
from convscout.trials.data.splits import LabelledImages
from convscout.trials.training.run import Dispatch, TrialRun
from tests.support.digits import digits
from tests.support.soaking import repetitions

IMAGES = 256
FEW_STEPS = {"recipe.batch_size": 32}  # of the usual size there would be two an epoch
AS_THEY_ARE = {"recipe.augmentation": "none"}  # moved about, these are no longer few


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in another order differ in their last bits
    yield
    torch.set_num_threads(threads)


def few_images() -> TrainingData:
    """The first training images, which training is judged on as well."""
    every = digits()
    few = LabelledImages(images=every.train.images[:IMAGES], labels=every.train.labels[:IMAGES])
    return replace(every, train=few, validation=few)


# one of each way to build: plain, residual, dense, separable; all of them with `make soak`
@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "family",
    repetitions(
        ["lenet", "speednet", "resnet", "densenet", "mobilenet_v2"],
        [name for name in families.names() if name != "pretrained"],
    ),
)
def test_a_default_network_learns_a_few_images(family: str, tmp_path: Path) -> None:
    data = few_images()
    recipe = TrainingRecipe.proven_for(
        data.image, epochs=20, precision="float32", overrides=FEW_STEPS | AS_THEY_ARE
    )
    config = TrialConfig(
        number=0,
        attempt=1,
        dataset=data.fingerprint,
        architecture=families.get(family).proven(),
        recipe=recipe,
        seed=0,
    )
    TrialDirectory(tmp_path).claim(config.attempt)
    run = TrialRun(Dispatch(config=config, directory=str(tmp_path), device="cpu", reported=0), data)
    while (progress := run.epoch()).result is None:
        continue
    assert progress.result.state is TrialState.COMPLETED, progress.result.error
    assert progress.measurement is not None and progress.measurement.val_accuracy > 0.95
