"""An epoch takes as much memory in its last step as in its first: nothing small that stays breaks up the heap."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import psutil
import pytest
import torch

from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.recipe import TrainingRecipe
from convscout.trials.compute.machine import has_native_bfloat16
from convscout.trials.compute.precision import Precision
from convscout.trials.data.batches import Batches
from convscout.trials.data.splits import LabelledImages, Normalization
from convscout.trials.training.loop import TrainingState, train

STEPS, SETTLED = 80, 20  # by the twentieth step the heap has what a step needs
IMAGE = ImageSpec(in_channels=3, image_size=32, num_classes=10)


def grown_bytes() -> int:
    """By how much this process grows between two steps of an epoch of vgg."""
    torch.set_num_threads(1)
    dtype = torch.bfloat16 if has_native_bfloat16() else torch.float32  # emulated, an epoch takes minutes
    name = str(dtype).removeprefix("torch.")
    recipe = TrainingRecipe.proven_for(IMAGE, epochs=1, precision=name, overrides={})
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (STEPS * recipe.batch_size, 32, 32, 3), dtype=np.uint8)
    cpu = torch.device("cpu")
    training, validation = (
        Batches(
            LabelledImages(images=pixels[:count], labels=np.arange(count) % 10),
            Normalization(mean=(0.5,) * 3, std=(0.3,) * 3),
            num_classes=10,
            device=cpu,
        )
        for count in (len(pixels), 16)
    )
    model = families.get("vgg")().build(IMAGE).to(memory_format=torch.channels_last)
    state = TrainingState(model=model, optimizer=recipe.optimizer.build(model))
    sizes: list[int] = []

    def note_size() -> bool:
        sizes.append(psutil.Process().memory_info().rss)
        return False

    precision = Precision(cpu, dtype)
    list(train(state, training, validation, recipe, seed=0, precision=precision, should_stop=note_size))
    return sizes[-1] - sizes[SETTLED]


@pytest.mark.slow
def test_memory_stays_the_same_from_step_to_step() -> None:
    # in a process of its own, whose heap has no gaps left by other tests
    answer = subprocess.run(
        [sys.executable, "-m", "tests.trials.training.test_memory_of_an_epoch"],
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout) < 64 * 2**20  # it grew by 8 MB a step


if __name__ == "__main__":
    print(grown_bytes())
