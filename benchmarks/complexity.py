"""How long measuring a candidate's costs takes, for each family's default, its deepest variant, and samples.

    python -m benchmarks.complexity --rounds 7

Times are of the processor, as measuring runs on one thread and others may be busy on this machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict

import optuna
import torch

from benchmarks.common import markdown, write
from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.complexity_meter import measure
from convscout.search_space.meta_device import MetaDevice
from convscout.search_space.recipe import TrainingRecipe
from convscout.search_space.space import SearchSpace

IMAGE = ImageSpec(in_channels=3, image_size=32, num_classes=10)
BOUND_MS = 50.0


def depth(config: ArchitectureConfig) -> int:
    """How many modules there are in the network."""
    with MetaDevice():
        return len(list(config.build(IMAGE).modules()))


def candidates() -> dict[tuple[str, str], ArchitectureConfig]:
    """By family and variant; those of ``pretrained`` need weights that are not measured here."""
    found: dict[tuple[str, str], ArchitectureConfig] = {}
    for name, family in families.items():
        if name == "pretrained":
            continue
        found[name, "default"] = family()
        variants = {variant: family(**fields) for variant, fields in family.variants.items()}
        if variants:
            deepest = max(variants, key=lambda variant: depth(variants[variant]))
            found[name, deepest] = variants[deepest]
    return found


def samples(count: int) -> dict[tuple[str, str], ArchitectureConfig]:
    """Random candidates of the families that are searched."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space = SearchSpace(image=IMAGE)
    sampled = [space.suggest(study.ask())[0] for _ in range(count)]
    return {(config.name, f"sample {number}"): config for number, config in enumerate(sampled)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rounds", type=int, default=7, help="times that each candidate is measured, in turn"
    )
    parser.add_argument("--samples", type=int, default=50)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    recipe = TrainingRecipe.proven_for(IMAGE, epochs=1, precision="float32", overrides={})
    fixed, sampled = candidates(), samples(asked.samples)
    everyone = fixed | sampled
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for number in range(asked.rounds + 1):
        for key, config in everyone.items():
            began = time.process_time()
            measure(config, recipe, IMAGE)
            if number:  # the first round loads what torch loads late
                times[key].append(1000 * (time.process_time() - began))
    results = [
        {"family": family, "variant": variant, "ms": round(statistics.median(spent), 1),
         "ms_min": round(min(spent), 1), "ms_max": round(max(spent), 1)}
        for (family, variant), spent in times.items()
    ]  # fmt: skip
    rows = [list(result.values()) for result in results if (result["family"], result["variant"]) in fixed]
    print(markdown(["family", "variant", "ms (median)", "min", "max"], rows))
    medians = sorted(statistics.median(times[key]) for key in sampled)
    below = sum(median < BOUND_MS for median in medians)
    print(
        f"{len(medians)} samples: median {statistics.median(medians):.1f} ms, slowest {medians[-1]:.1f} ms, "
        f"{below} below {BOUND_MS:g} ms"
    )
    print(write("complexity", results, rounds=asked.rounds, image="3 × 32 × 32", clock="processor time"))


if __name__ == "__main__":
    main()
