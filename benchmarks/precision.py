"""How fast networks train in each number format and layout on this machine, and what calibration chooses.

python -m benchmarks.precision
python -m benchmarks.precision --families resnet,mobilenet_v2 --threads 2 --repeats 15

Whole steps (forward, loss, backward, update) of each family's proven configuration on random images. All
options take turns. With one thread the time is what the core worked on it, as calibration counts it; so
what else the machine does matters little.
"""

from __future__ import annotations

import argparse
import math
import statistics
from typing import Any

import numpy as np
import torch

from benchmarks.common import markdown, write
from convscout.search_space.architecture import ImageSpec
from convscout.search_space.space import SearchSpace
from convscout.trials.compute.precision import Precision, choose_device
from convscout.trials.data.batches import Batches
from convscout.trials.data.splits import LabelledImages, Normalization
from convscout.trials.training.calibration import fastest, options, step_timer
from convscout.trials.training.loop import TrainingState
from convscout.trials.training.run import never

FAMILIES = "lenet,vgg,resnet,densenet,speednet,convnext,mobilenet_v2,efficientnet"
IMAGE = ImageSpec(in_channels=3, image_size=32, num_classes=10)
BATCH = 128


def compare(family: str, device: torch.device, repeats: int) -> dict[str, Any]:
    """Images a second of every option, medians over ``repeats`` steps after one to warm up."""
    space = SearchSpace(image=IMAGE, families=(family,), epochs=1, overrides={"recipe.batch_size": BATCH})
    ((architecture, recipe),) = space.portfolio()
    torch.manual_seed(0)
    model = architecture.build(IMAGE).to(device, memory_format=torch.channels_last)
    state = TrainingState(model=model, optimizer=recipe.optimizer.build(model))
    step_s = step_timer(state, _blank(device), IMAGE, recipe, device, never)

    tried: list[float] = []  # seconds of the steps of the calibration

    def noted_step_s(precision: Precision) -> float:
        tried.append(step_s(precision))
        return tried[-1]

    chosen = fastest(options(device), noted_step_s, math.inf)
    times_s: dict[Precision, list[float]] = {option: [] for option in options(device)}
    for _ in range(1 + repeats):
        for option, times in times_s.items():
            times.append(step_s(option))
    medians_s = {option: statistics.median(times[1:]) for option, times in times_s.items()}
    return {
        "family": family,
        "optimizer": recipe.optimizer.name,
        "images_per_s": {option.name: round(BATCH / median_s) for option, median_s in medians_s.items()},
        "chosen": chosen.name,
        "calibration_steps": len(tried),
        "calibration_s": round(sum(tried), 2),
    }


def _blank(device: torch.device) -> Batches:
    """A split as large as a batch; its images are not looked at."""
    blank = np.zeros((BATCH, IMAGE.image_size, IMAGE.image_size, IMAGE.in_channels), dtype=np.uint8)
    data = LabelledImages(images=blank, labels=np.arange(BATCH) % IMAGE.num_classes)
    normalization = Normalization(mean=(0.5,) * IMAGE.in_channels, std=(0.25,) * IMAGE.in_channels)
    return Batches(data, normalization, num_classes=IMAGE.num_classes, device=device)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", default=FAMILIES, help="comma-separated")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", default="precision", help="name of the file in benchmarks/results")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    device = choose_device(asked.device)
    results = [compare(family, device, asked.repeats) for family in asked.families.split(",")]
    names = [option.name for option in options(device)]
    rows = [
        [r["family"], *(f"{r['images_per_s'][name]:,}" for name in names), r["chosen"], r["calibration_s"]]
        for r in results
    ]
    print(markdown(["family", *names, "chosen", "calibration (s)"], rows))
    print(
        write(
            asked.output,
            results,
            image_size=IMAGE.image_size,
            batch_size=BATCH,
            threads=asked.threads,
            repeats=asked.repeats,
            clock="CPU time of the thread" if asked.threads == 1 and device.type == "cpu" else "wall clock",
        )
    )


if __name__ == "__main__":
    main()
