"""How well each family's proven configuration does in a few epochs, judged on validation images.

python -m benchmarks.portfolio folder:cifar10-jpeg --epochs 3 --images 10000
python -m benchmarks.portfolio digits --families lenet,resnet --set recipe.optimizer=muon
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from benchmarks.common import markdown, write
from benchmarks.real_trial import add_set_option, epochs, overrides
from convscout.search_space.architecture import ArchitectureConfig
from convscout.search_space.complexity_meter import measure
from convscout.search_space.errors import ConvscoutError
from convscout.search_space.recipe import TrainingRecipe
from convscout.search_space.space import SearchSpace
from convscout.trials.config import TrialConfig
from convscout.trials.data.batches import TrainingData
from convscout.trials.data.sources import DataRequest, load
from convscout.trials.data.splits import stratified_split

SEED = 0


def subset(data: TrainingData, images: int) -> TrainingData:
    """``data`` with a stratified sample of its training images; validation stays whole."""
    if images >= len(data.train):
        return data
    _, sample = stratified_split(data.train.labels, images / len(data.train), SEED)
    return replace(data, train=data.train.at(sample))


def train(
    architecture: ArchitectureConfig, recipe: TrainingRecipe, data: TrainingData, seed: int
) -> dict[str, Any]:
    """Train once; returns the last epoch's validation accuracy and how fast it trained."""
    config = TrialConfig(
        number=0, attempt=1, dataset=data.fingerprint, architecture=architecture, recipe=recipe, seed=seed
    )
    with tempfile.TemporaryDirectory() as scratch:
        try:
            *_, last = epochs(config, data, Path(scratch), "auto")
        except ConvscoutError as error:
            return {"error": error.message}
    return {"accuracy": last.val_accuracy, "loss": last.val_loss, "images_per_s": round(last.images_per_s)}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="a dataset as convscout search takes it")
    parser.add_argument("--families", help="only these, comma-separated")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=10_000, help="training images")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    add_set_option(parser)
    parser.add_argument("--output", default="portfolio", help="name of the file in benchmarks/results")
    parser.add_argument("--cache", type=Path, default=Path("runs/.cache"))
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    torch.set_num_threads(asked.threads)
    request = DataRequest(data=asked.data, seed=SEED, cache=asked.cache)
    data = subset(TrainingData.of(load(request)), asked.images)
    names = tuple(asked.families.split(",") if asked.families else ())
    space = SearchSpace(image=data.image, families=names, epochs=asked.epochs, overrides=overrides(asked))
    results = []
    for architecture, recipe in space.portfolio():
        cost = measure(architecture, recipe, data.image)
        runs = [train(architecture, recipe, data, seed) for seed in range(asked.seeds)]
        accuracies = [run["accuracy"] for run in runs if "error" not in run]
        results.append(
            {
                "family": architecture.name,
                "optimizer": recipe.optimizer.name,
                "params": cost.params,
                "flops": cost.flops,
                "activations": cost.activations,
                "accuracy": round(mean(accuracies), 4) if accuracies else None,
                "runs": runs,
            }
        )
        print(architecture.name, *runs, file=sys.stderr, flush=True)
    results.sort(key=lambda result: -(result["accuracy"] or 0))
    facts = {"images": len(data.train), "validation": len(data.validation), "epochs": asked.epochs}
    path = write(asked.output, results, **facts)
    print(table(results))
    print(f"\n{asked.seeds} seed(s), {asked.threads} thread(s), {facts} → {path}")


def table(results: list[dict[str, Any]]) -> str:
    """Families by falling accuracy."""
    rows = [
        [
            f"`{each['family']}`",
            f"{each['accuracy']:.1%}" if each["accuracy"] else each["runs"][0]["error"],
            f"{each['params'] / 1e6:.2f} M",
            f"{each['flops'] / 1e6:.1f} M",
            f"{each['activations'] / 1e3:.0f} k",
            each["runs"][0].get("images_per_s", ""),
        ]
        for each in results
    ]
    return markdown(["family", "accuracy", "params", "multiply-adds", "activations", "images/s"], rows)


if __name__ == "__main__":
    main()
