"""What memory that stays is worth: training steps with glibc as it is set, told by us, and told by the environment.

    python -m benchmarks.allocator --networks speednet vgg resnet --batch-sizes 128 1024 --threads 1 2

The environment's settings are read when a process starts; ours are made by calls (``trials/compute/allocator.py``).
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from functools import partial

import torch

from benchmarks.common import markdown, write
from benchmarks.sides import Lap, Side, clock, in_turn, running, typical
from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.recipe import TrainingRecipe
from convscout.trials.compute.allocator import describe_allocator, kept_memory
from convscout.trials.training.machine_speed import step_timer

IMAGE = ImageSpec(in_channels=3, image_size=32, num_classes=10, symmetries=("horizontal_flip",))
ENVIRONMENT = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**28),
}
WARM_UP = 2  # steps that bring the heap to its size, as the first of a trial do
PLAIN, OURS, THEIRS = "glibc as it is set", "kept_memory", "environment"


def lap(kept: bool, network: str, batch_size: int, steps: int) -> Lap:
    """As many steps of the proven ``network`` on batches of random images."""
    family = families.get(network)
    recipe = TrainingRecipe.proven_for(IMAGE, epochs=1, precision="auto", overrides={}, family=family)
    step = step_timer(family.proven(), recipe, torch.device("cpu"))

    def take(count: int) -> None:
        for _ in range(count):
            step(batch_size)

    def timed() -> float:
        with kept_memory() if kept else nullcontext():
            take(WARM_UP)
            return clock(partial(take, steps))

    return timed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", default=("speednet",), choices=families.names())
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=(128, 1024))
    parser.add_argument("--threads", nargs="+", type=int, default=(1, 2))
    parser.add_argument("--images", type=int, default=2048, help="of a lap (default: 2048)")
    parser.add_argument("--repeats", type=int, default=3, help="laps of each side (default: 3)")
    parser.add_argument("--quick", action="store_true", help="one small lap of each side")
    asked = parser.parse_args()
    images, repeats = (128, 1) if asked.quick else (asked.images, asked.repeats)
    sizes, threads = ((64,), (1,)) if asked.quick else (asked.batch_sizes, asked.threads)
    results = []
    for network in asked.networks:
        for count in threads:
            for size in sizes:
                steps = max(1, images // size)
                sides = {
                    name: partial(
                        Side, lap, kept, network, size, steps, threads=count, environment=environment
                    )
                    for name, kept, environment in (
                        (PLAIN, False, {}),
                        (OURS, True, {}),
                        (THEIRS, False, ENVIRONMENT),
                    )
                }
                with running(sides) as started:
                    times = in_turn(started, repeats)
                rates = {name: steps * size / typical(laps).wall_s for name, laps in times.items()}
                results.append(
                    {"network": network, "threads": count, "batch_size": size, "images_per_s": rates}
                )
    print(f"Images/s of training; here {describe_allocator()}\n")
    print(markdown(("network", "threads", "batch", PLAIN, OURS, THEIRS, "faster"), list(map(_row, results))))
    print(f"\n{write('allocator', results)}")


def _row(result: dict[str, object]) -> list[object]:
    rates = result["images_per_s"]
    assert isinstance(rates, dict)
    ratio = f"**{rates[OURS] / rates[PLAIN]:.2f}×**"
    return [
        result["network"],
        result["threads"],
        result["batch_size"],
        *(f"{each:.0f}" for each in rates.values()),
        ratio,
    ]


if __name__ == "__main__":
    main()
