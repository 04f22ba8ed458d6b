"""Train every configuration of a finite part of the real design space, and keep each epoch's accuracy: a table.

python -m benchmarks.tabulate folder:cifar10-jpeg

``benchmarks.search_quality`` replays searches from the table without training. It can be broken off and
begun again: what was trained is kept beside the table until it is whole.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import optuna
import psutil
import torch

from benchmarks.common import machine
from benchmarks.real_trial import epochs
from convscout.search_space.architecture import ImageSpec
from convscout.search_space.complexity_meter import measure
from convscout.search_space.enumeration import every
from convscout.search_space.errors import ConvscoutError
from convscout.search_space.knobs import Override
from convscout.search_space.space import SearchSpace
from convscout.trials.config import TrialConfig
from convscout.trials.data.batches import TrainingData
from convscout.trials.data.sources import DataRequest, load

TABLE = Path(__file__).parent / "tables" / "cifar10-16px.json"
IMAGE_SIZE, IMAGES, EPOCHS = 16, 1_500, 12

# What varies; every other knob has its default.
CHOICES: Mapping[str, tuple[Any, ...]] = {
    "recipe.optimizer": ("muon", "sgd"),
    "muon.learning_rate": (0.005, 0.015, 0.05),
    "sgd.learning_rate": (0.01, 0.05, 0.25),
    "recipe.augmentation": ("none", "flip", "crop_flip"),
    "recipe.batch_size": (64,),
    "lenet.width": (8, 24),
    "lenet.depth": (2, 3),
    "vgg.width": (8, 16),
    "vgg.depth3": (1, 3),
    "nin.width": (24, 64),
    "nin.depth": (2, 3),
    "resnet.width": (8, 16),
    "resnet.depth2": (1, 3),
    "preact_resnet.width": (8, 16),
    "preact_resnet.depth2": (1, 3),
    "densenet.growth_rate": (12, 24),
    "densenet.depth2": (2, 5),
    "squeezenet.width": (32, 64),
    "squeezenet.bypass": ("none", "simple"),
    "speednet.width1": (16, 32),
    "speednet.width2": (32, 64),
    "mlp.width": (128, 512),
    "mlp.depth": (1, 3),
}
FAMILIES = tuple(
    dict.fromkeys(
        knob.partition(".")[0] for knob in CHOICES if not knob.startswith(("recipe", "muon", "sgd"))
    )
)


def tabulated_space(image: ImageSpec) -> SearchSpace:
    """The finite part of the design space that the table covers."""
    varied = {name: {"choices": list(values)} for name, values in CHOICES.items()}
    overrides: dict[str, Override] = {**varied, "recipe.distortion": "none"}
    space = SearchSpace(
        image=image, families=FAMILIES, epochs=EPOCHS, precision="bfloat16", overrides=overrides
    )
    fixed = {name: knob.default for name, knob in space.knobs().items() if name not in overrides}
    return replace(space, overrides=overrides | fixed)


def request(data: str, cache: Path) -> DataRequest:
    """The images of the table."""
    return DataRequest(data=data, image_size=IMAGE_SIZE, seed=0, cache=cache)


def tabulate(parameters: Mapping[str, Any], data: TrainingData) -> dict[str, Any]:
    """Train one configuration to its end: its validation accuracies by epoch, or why there are none."""
    space = tabulated_space(data.image)
    architecture, recipe = space.suggest(optuna.trial.FixedTrial(dict(parameters)))
    config = TrialConfig(
        number=0, attempt=1, dataset=data.fingerprint, architecture=architecture, recipe=recipe, seed=0
    )
    row: dict[str, Any] = {"parameters": dict(parameters)}
    try:
        row["activations"] = measure(architecture, recipe, data.image).activations
        with TemporaryDirectory() as scratch:
            measurements = list(epochs(config, data, Path(scratch), "cpu"))
    except ConvscoutError as error:  # it cannot be built for such images, or it diverged
        return {**row, "error": error.message}
    return {
        **row,
        "accuracies": [round(each.val_accuracy, 5) for each in measurements],
        "epoch_s": round(measurements[-1].elapsed_s / len(measurements), 3),
    }


_data: TrainingData


def _begin(request: DataRequest) -> None:
    global _data
    os.nice(5)
    torch.set_num_threads(1)
    found = TrainingData.of(load(request))
    few = np.arange(IMAGES)  # both splits are in random order
    _data = replace(found, train=found.train.at(few), validation=found.validation.at(few))


def _tabulate(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return tabulate(parameters, _data)


def trained(file: Path) -> Iterator[dict[str, Any]]:
    """The rows that an earlier run left in ``file``; a last one that was cut short is left out."""
    for line in file.read_text().splitlines() if file.exists() else []:
        if line.endswith("}"):
            yield json.loads(line)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="a dataset as convscout search takes it")
    parser.add_argument("--workers", type=int, default=len(psutil.Process().cpu_affinity()))
    parser.add_argument("--first", type=int, help="only so many configurations: how long does it take?")
    parser.add_argument("--output", type=Path, default=TABLE)
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    asked = parser.parse_args()
    images = request(asked.data, asked.cache)
    image = load(images).image
    rows = list(every(tabulated_space(image)))[: asked.first]
    unfinished = asked.output.with_suffix(".jsonl")
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    known = {json.dumps(row["parameters"]): row for row in trained(unfinished)}
    missing = [row for row in rows if json.dumps(row) not in known]
    np.random.default_rng(0).shuffle(missing)  # so that the time left can be told
    began = time.monotonic()
    with (
        unfinished.open("a") as file,
        ProcessPoolExecutor(asked.workers, initializer=_begin, initargs=(images,)) as pool,
    ):
        for done, future in enumerate(as_completed(pool.submit(_tabulate, row) for row in missing), 1):
            row = future.result()
            known[json.dumps(row["parameters"])] = row
            print(json.dumps(row), file=file, flush=True)
            left_s = (time.monotonic() - began) / done * (len(missing) - done)
            print(f"{len(known)} of {len(rows)}, {left_s / 60:.0f} minutes left", flush=True)
    facts = {
        "data": asked.data,
        "image_size": IMAGE_SIZE,
        "images": IMAGES,
        "validation": IMAGES,
        "epochs": EPOCHS,
    }
    record = {"command": "python -m benchmarks.tabulate " + asked.data, "machine": machine(), **facts}
    lines = ",\n".join(json.dumps(known[json.dumps(row)]) for row in rows)
    head = json.dumps(record, indent=1)[:-2]
    asked.output.write_text(f'{head},\n "rows": [\n{lines}\n]}}\n')
    unfinished.unlink()
    print(f"{len(rows)} configurations → {asked.output}")


if __name__ == "__main__":
    main()
