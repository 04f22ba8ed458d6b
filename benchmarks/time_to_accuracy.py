"""How long one trial of the default SpeedNet trains until its validation accuracy passes a mark.

python -m benchmarks.time_to_accuracy folder:cifar10-jpeg
python -m benchmarks.time_to_accuracy folder:cifar10-jpeg --epochs 2 --set speednet.width1=24 --open-test

The recipe is the one that a search begins with, but for what ``--set`` fixes; all is judged on validation images,
and the test split is opened at the very end where ``--open-test`` asks for it. On a GPU the 94 % speed run of PyPI's
airbench, where that is installed, trains on the same images and is judged on the same validation images.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import torch

from benchmarks import real_trial
from benchmarks.common import markdown, write
from convscout.search_space.knobs import Override
from convscout.search_space.space import SearchSpace
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.compute.precision import Precision, choose_device
from convscout.trials.config import Measurement, TrialConfig
from convscout.trials.data.batches import Batches, TrainingData
from convscout.trials.data.sources import DataRequest, load
from convscout.trials.data.splits import DataSplits
from convscout.trials.evaluation import metrics
from convscout.trials.evaluation.probabilities import probabilities

MARKS = (0.70, 0.75, 0.80, 0.85, 0.90, 0.93)
FAMILY = "speednet"


def candidate(
    data: TrainingData, epochs: int, seed: int, fixed: Mapping[str, Override] | None = None
) -> TrialConfig:
    """The first trial of a search among SpeedNets alone, but for the knobs that are ``fixed``."""
    space = SearchSpace(image=data.image, families=(FAMILY,), epochs=epochs, overrides=fixed or {})
    [(architecture, recipe)] = space.portfolio()
    return TrialConfig(
        number=0, attempt=1, dataset=data.fingerprint, architecture=architecture, recipe=recipe, seed=seed
    )


def train(config: TrialConfig, data: TrainingData, directory: Path, device: str) -> list[Measurement]:
    """A real trial, told as it goes; its files stay in ``directory``."""
    measurements = []
    for measurement in real_trial.epochs(config, data, directory, device):
        measurements.append(measurement)
        accuracy, elapsed_s = measurement.val_accuracy, measurement.elapsed_s
        print(f"epoch {measurement.epoch}: {accuracy:.2%} after {elapsed_s:.1f} s", flush=True)
    return measurements


def training_seconds(measurements: Sequence[Measurement], num_images: int) -> list[float]:
    """Seconds of training alone, without validation, up to the end of each epoch."""
    total_s, seconds = 0.0, []
    for measurement in measurements:
        total_s += num_images / measurement.images_per_s
        seconds.append(total_s)
    return seconds


def report(measurements: Sequence[Measurement], num_images: int) -> dict[str, Any]:
    """Accuracy after each epoch, and when each mark was passed."""
    seconds = training_seconds(measurements, num_images)
    passed = {}
    for mark in MARKS:
        reached = (s for s, m in zip(seconds, measurements, strict=True) if m.val_accuracy > mark)
        first = next(reached, None)
        passed[f"{mark:.0%}"] = None if first is None else round(first, 2)
    return {
        "training_s": [round(s, 2) for s in seconds],
        "elapsed_s": [round(m.elapsed_s, 2) for m in measurements],
        "val_accuracy": [round(m.val_accuracy, 4) for m in measurements],
        "passed_s": passed,
    }


def airbench(data: TrainingData) -> dict[str, Any] | None:
    """Seconds and validation accuracy of airbench's 94 % speed run, or None where it cannot be had."""
    fitting = data.image.in_channels == 3 and data.image.image_size == 32 and data.image.num_classes == 10
    if not (torch.cuda.is_available() and find_spec("airbench") and fitting):
        print("airbench is left out: it needs a GPU, `airbench` installed, and images like CIFAR-10's")
        return None
    import airbench as speed_run

    with TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        # it looks for the images here, and calls those that it is judged on its test images
        Path("cifar10").mkdir()
        for name, part in (("train", data.train), ("test", data.validation)):
            tensors = {"images": torch.from_numpy(part.images), "labels": torch.from_numpy(part.labels)}
            classes = [str(label) for label in range(data.image.num_classes)]
            torch.save({**tensors, "classes": classes}, f"cifar10/{name}.pt")
        speed_run.warmup94(verbose=False)
        torch.cuda.synchronize()
        began = time.perf_counter()
        network = speed_run.train94(verbose=False)
        torch.cuda.synchronize()
        elapsed_s = time.perf_counter() - began
        scored = speed_run.CifarLoader("cifar10", train=False, batch_size=2000)
        accuracy = speed_run.evaluate(network, scored, tta_level=0)
    return {"elapsed_s": round(elapsed_s, 2), "val_accuracy": round(accuracy, 4)}


def test_accuracy(config: TrialConfig, splits: DataSplits, directory: Path, precision: Precision) -> float:
    """Opens the test split: accuracy of the trial's best epoch."""
    data, test = TrainingData.of(splits), splits.open_test()
    best = TrialDirectory(directory).load_best()
    assert best is not None
    model = config.architecture.build(data.image)
    model.load_state_dict(best.weights)
    model.to(precision.device, memory_format=torch.channels_last)
    images = Batches(
        test, data.normalization, num_classes=data.image.num_classes, device=precision.device
    )  # fmt: skip
    answers = probabilities(model, images, precision)
    return metrics.accuracy(answers.numpy(), test.labels)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="a dataset as convscout search takes it, e.g. folder:PATH")
    parser.add_argument("--epochs", type=int, default=8)
    real_trial.add_set_option(parser)
    parser.add_argument("--seeds", type=int, default=1, help="trials, one after another")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=len(psutil.Process().cpu_affinity()))
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="of decoded images")
    parser.add_argument("--open-test", action="store_true", help="judge on the test split, at the very end")
    parser.add_argument("--quick", action="store_true", help="one epoch: does it run?")
    asked = parser.parse_args()
    if asked.quick:
        asked.epochs = 1
    torch.set_num_threads(asked.threads)
    splits = load(DataRequest(data=asked.data, seed=0, cache=asked.cache))
    data = TrainingData.of(splits)
    results = []
    with TemporaryDirectory() as scratch:
        for seed in range(asked.seeds):
            config = candidate(data, asked.epochs, seed, real_trial.overrides(asked))
            directory = Path(scratch) / str(seed)
            measurements = train(config, data, directory, asked.device)
            results.append({"seed": seed, **report(measurements, len(data.train))})
        speed_run = airbench(data)
        if asked.open_test:
            precision = Precision(choose_device(asked.device), torch.float32)
            for result in results:
                result["test_accuracy"] = round(
                    test_accuracy(config, splits, Path(scratch) / str(result["seed"]), precision), 4
                )
    columns = [
        "seed",
        *(f"s to {mark:.0%}" for mark in MARKS),
        *(f"epoch {n + 1}" for n in range(asked.epochs)),
    ]
    rows = [
        [
            result["seed"],
            *(result["passed_s"][f"{mark:.0%}"] or "–" for mark in MARKS),
            *(f"{accuracy:.2%}" for accuracy in result["val_accuracy"]),
        ]
        for result in results
    ]
    print("", "Seconds of training, and validation accuracy:", "", markdown(columns, rows), "", sep="\n")
    if speed_run:
        print(f"airbench94: {speed_run['val_accuracy']:.2%} in {speed_run['elapsed_s']} s")
    if asked.open_test:
        print("test accuracy:", *(f"{result['test_accuracy']:.2%}" for result in results))
    facts = dict(data=asked.data, threads=asked.threads, epochs=asked.epochs, airbench=speed_run)
    facts |= {"images": len(data.train), "trial": config.flat()}
    print(write("time_to_accuracy", results, **facts))


if __name__ == "__main__":
    main()
