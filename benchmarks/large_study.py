"""A study of thousands of trials that nobody trained: proposed, committed and told for real, with imagined curves.

For measurements of what shows studies. python -m benchmarks.large_study HOME NAME TRIALS
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np

from convscout.search_space.architecture import ImageSpec
from convscout.search_space.complexity import Complexity
from convscout.search_space.errors import ConvscoutError
from convscout.search_space.space import SearchSpace
from convscout.services.config.home import Home
from convscout.services.config.study_config import StudyConfig
from convscout.services.ledger.lease import lease
from convscout.services.ledger.ledger import Ledger
from convscout.services.plugins import pruners, samplers
from convscout.services.samplers.base import SamplingTask
from convscout.trials.config import Measurement, TrialConfig
from convscout.trials.end_reason import EndReason

EPOCHS = 8
IMAGE = ImageSpec(in_channels=3, image_size=32, num_classes=10, symmetries=("horizontal_flip",))
_NEVER = pruners.get("none")()


def write_large_study(home: Home, name: str, trials: int, seed: int = 0) -> Ledger:
    """A study called ``name`` of so many trials, of all families; three of four were stopped on the way."""
    config = StudyConfig(name=name, data="cifar10", trials=trials, epochs=EPOCHS, sampler="random")
    Ledger.create(home, config, fingerprint="f" * 64)
    space = SearchSpace(image=IMAGE, epochs=EPOCHS)
    fresh = samplers.get("random")(SamplingTask(space=space)).fresh
    with lease(home.study(name)) as fence:
        ledger = Ledger.open(home.study(name), fence)
        rng = np.random.default_rng(seed)
        while len(ledger.numbers) < trials:
            _imagine(ledger, space, fresh, rng)
    return ledger


def _imagine(ledger: Ledger, space: SearchSpace, fresh: object, rng: np.random.Generator) -> None:
    """One trial, whose worth grows with its width and is partly luck."""
    proposal = ledger.propose(space, fresh)  # type: ignore[arg-type]
    architecture, recipe = proposal.candidate
    params = int(10 ** rng.uniform(4, 7))
    config = TrialConfig(
        number=proposal.number, attempt=1, dataset="f" * 64, architecture=architecture, recipe=recipe, seed=7
    )
    cost = Complexity(params=params, flops=params * 400, activations=params, peak_train_bytes=params * 40)
    ledger.commit(config, cost, {})
    ceiling = 0.55 + 0.05 * (math.log10(params) - 4) + 0.25 * float(rng.random())
    last = EPOCHS if rng.random() < 0.25 else int(rng.integers(1, EPOCHS))
    for epoch in range(1, last + 1):
        accuracy = ceiling * (1 - math.exp(-0.5 * epoch)) + 0.01 * float(rng.normal())
        ledger.report(proposal.number, 1, _measured(epoch, accuracy, params), _NEVER)
    if last == EPOCHS:
        ledger.finish(proposal.number, 1, EndReason.COMPLETED, "trained all its epochs")
    else:
        ledger.finish(proposal.number, 1, EndReason.PRUNED, f"median at epoch {last}")


def _measured(epoch: int, accuracy: float, params: int) -> Measurement:
    return Measurement(
        epoch=epoch,
        train_loss=2.3 * math.exp(-0.3 * epoch),
        val_loss=2.3 * math.exp(-0.25 * epoch),
        val_accuracy=accuracy,
        val_balanced_accuracy=accuracy,
        val_macro_f1=accuracy,
        val_calibration_error=0.1,
        learning_rate=0.1 / epoch,
        elapsed_s=epoch * params / 1e6,
        images_per_s=1e9 / params,
        precision="float32 channels-last",
    )


def main() -> None:
    """Write it."""
    home, name, trials = sys.argv[1:4]
    try:
        write_large_study(Home(Path(home).absolute()), name, int(trials))
    except ConvscoutError as error:
        sys.exit(error.message)


if __name__ == "__main__":
    main()
