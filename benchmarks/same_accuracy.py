"""Does speed change results? Our engine beside an ordinary loop: the same recipe, images and seeds.

python -m benchmarks.same_accuracy folder:cifar10-jpeg
python -m benchmarks.same_accuracy digits --networks lenet --epochs 3 --seeds 3

Both begin with the same weights, seed by seed, and take the steps of the same optimizer on the same schedule. The
ordinary loop draws its own order and crops (torchvision's, of PIL images) and computes in float32, channels first;
ours in what it would choose in a search. Judged by the accuracy on validation images after the last epoch.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil
import torch
from torch import nn

from benchmarks.common import markdown, write
from benchmarks.loops import ordinary_loader
from benchmarks.real_trial import add_set_option, epochs, overrides
from benchmarks.workloads import BATCH_SIZE, PLAIN, architecture
from convscout.search_space.architecture import ArchitectureConfig
from convscout.search_space.recipe import TrainingRecipe
from convscout.trials.compute.precision import Precision, choose_device
from convscout.trials.config import TrialConfig
from convscout.trials.data.batches import Batches, TrainingData
from convscout.trials.data.sources import DataRequest, load
from convscout.trials.data.splits import HORIZONTAL_FLIP
from convscout.trials.evaluation import metrics
from convscout.trials.evaluation.probabilities import probabilities

MOST_ERRORS = 2  # standard errors of the difference that count as none


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Accuracies of both sides, a seed each."""

    ours: list[float]
    ordinary: list[float]

    @property
    def difference(self) -> float:
        """How much better ours is in the mean."""
        return mean(self.ours) - mean(self.ordinary)

    @property
    def standard_error(self) -> float:
        """Of the difference (Welch, 1947)."""
        return math.sqrt(sum(stdev(side) ** 2 / len(side) for side in (self.ours, self.ordinary)))

    @property
    def same(self) -> bool:
        """Whether chance explains the difference."""
        return abs(self.difference) <= MOST_ERRORS * self.standard_error


def engine(config: TrialConfig, data: TrainingData, device: str) -> float:
    """Validation accuracy after the last epoch of a real trial."""
    with TemporaryDirectory() as scratch:
        *_, last = epochs(config, data, Path(scratch), device)
    return last.val_accuracy


def ordinary(config: TrialConfig, data: TrainingData, device: torch.device, workers: int) -> float:
    """The same of the loop that one writes with torchvision and a DataLoader."""
    recipe = config.recipe
    torch.manual_seed(config.seed)
    model = config.architecture.build(data.image).to(device)
    optimizer = recipe.optimizer.build(model)
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    loader = ordinary_loader(data, recipe.batch_size, workers)
    num_steps, step = len(loader) * recipe.epochs, 0
    for _ in range(recipe.epochs):
        model.train()
        for images, labels in loader:
            step += 1
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate_at(step / num_steps) * group["lr_scale"]
            optimizer.zero_grad()
            criterion(model(images.to(device)), labels.to(device)).backward()
            optimizer.step()
    scored = Batches(data.validation, data.normalization, num_classes=data.image.num_classes, device=device)
    answers = probabilities(model, scored, Precision(device, torch.float32))
    return metrics.accuracy(answers.numpy(), data.validation.labels)


def compare(network: str, data: TrainingData, asked: argparse.Namespace) -> dict[str, Any]:
    """One network: both sides in turn, seed by seed."""
    moves = "crop_flip" if HORIZONTAL_FLIP in data.image.symmetries else "crop"
    overrides = {**PLAIN, "recipe.augmentation": moves, "recipe.batch_size": BATCH_SIZE}
    recipe = TrainingRecipe.proven_for(data.image, epochs=asked.epochs, precision="auto", overrides=overrides)
    scores = Scores(ours=[], ordinary=[])
    for seed in range(asked.seeds):
        config = TrialConfig(
            number=0,
            attempt=1,
            dataset=data.fingerprint,
            architecture=_architecture(network, asked),
            recipe=recipe,
            seed=seed,
        )
        scores.ours.append(engine(config, data, asked.device))
        scores.ordinary.append(ordinary(config, data, choose_device(asked.device), asked.workers))
        print(
            f"{network}, seed {seed}: ours {scores.ours[-1]:.2%}, ordinary {scores.ordinary[-1]:.2%}",
            flush=True,
        )
    return {
        "network": network,
        "ours": [round(score, 5) for score in scores.ours],
        "ordinary": [round(score, 5) for score in scores.ordinary],
        "difference": round(scores.difference, 5),
        "standard_error": round(scores.standard_error, 5),
        "same": scores.same,
    }


def _architecture(network: str, asked: argparse.Namespace) -> ArchitectureConfig:
    """``network`` with the knobs of its own that were set."""
    found = architecture(network)
    knobs = {name.partition("."): value for name, value in overrides(asked).items()}
    return replace(
        found, **{knob: value for (family, _, knob), value in knobs.items() if family == found.name}
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="a dataset as convscout search takes it, e.g. folder:PATH")
    parser.add_argument(
        "--networks", type=lambda text: text.split(","), default=["lenet", "resnet20"], help="comma-separated"
    )
    add_set_option(parser)
    parser.add_argument("--images", type=int, default=10_000, help="of the training split, at most")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=len(psutil.Process().cpu_affinity()))
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that load the ordinary loop's images"
    )
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="of decoded images")
    parser.add_argument("--quick", action="store_true", help="few images, two seeds: does it run?")
    asked = parser.parse_args()
    if asked.quick:
        asked.networks, asked.images, asked.epochs, asked.seeds = asked.networks[:1], 256, 1, 2
    torch.set_num_threads(asked.threads)
    found = TrainingData.of(load(DataRequest(data=asked.data, seed=0, cache=asked.cache)))
    few = np.arange(min(asked.images, len(found.train)))  # the split is in random order
    data = replace(found, train=found.train.at(few))
    results = [compare(network, data, asked) for network in asked.networks]
    columns = ["network", "ours", "ordinary", "difference", "2 standard errors", "the same?"]
    rows = [
        [
            result["network"],
            *(f"{mean(result[side]):.2%} ± {stdev(result[side]):.2%}" for side in ("ours", "ordinary")),
            f"{100 * result['difference']:+.2f} points",
            f"{100 * MOST_ERRORS * result['standard_error']:.2f} points",
            "yes" if result["same"] else "no",
        ]
        for result in results
    ]
    facts = dict(data=asked.data, images=len(data.train), epochs=asked.epochs, seeds=asked.seeds)
    print("", markdown(columns, rows), "", write("same_accuracy", results, **facts), sep="\n")


if __name__ == "__main__":
    main()
