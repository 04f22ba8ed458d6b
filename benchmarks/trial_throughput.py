"""Training images a second: our engine beside an ordinary loop, Keras 3, and the bare step that is the limit.

python -m benchmarks.trial_throughput
python -m benchmarks.trial_throughput --data folder:cifar10-jpeg --networks lenet,resnet20 --threads 2

Every side trains the same network on the same images with the same optimizer, in a process of its own, and they
take turns. Keras takes part where it is installed (KERAS: torch, and jax where there is jax).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from benchmarks import keras_loop, loops
from benchmarks.common import markdown, write
from benchmarks.sides import Side, in_turn, running, typical
from benchmarks.workloads import Workload, add_options, parsed

OURS, ORDINARY, LIMIT = "ours", "ordinary", "step alone"
CALIBRATION = 3  # steps that tell how long one takes
FEWEST_STEPS, MOST_STEPS = 3, 500


def sides(workload: Workload, threads: int, workers: int) -> dict[str, Callable[[], Side]]:
    """What takes part, by name."""
    make = partial(partial, Side, threads=threads)
    found = {
        OURS: make(loops.engine, workload),
        LIMIT: make(loops.step_alone, workload),
        ORDINARY: make(loops.ordinary, workload, workers),
    }
    for backend in keras_backends():
        environment = keras_loop.environment(backend)
        found[f"keras {backend}"] = make(keras_loop.keras_fit, workload, threads, environment=environment)
    return found


def keras_backends() -> list[str]:
    """Those of Keras's backends that are installed."""
    if find_spec("keras") is None:
        return []
    return [name for name in ("torch", "jax") if find_spec(name)]


def steps_of(workload: Workload, threads: int, seconds: float) -> int:
    """How many steps take about ``seconds``."""
    trial = replace(workload, steps=CALIBRATION)
    with running({LIMIT: lambda: Side(loops.step_alone, trial, threads=threads)}) as started:
        step_s = started[LIMIT].lap().wall_s / CALIBRATION
    return max(FEWEST_STEPS, min(MOST_STEPS, round(seconds / step_s)))


def compare(workload: Workload, asked: argparse.Namespace) -> dict[str, Any]:
    """One network: images a second of every side, and what they are to each other."""
    with TemporaryDirectory() as calibrations:
        workload = replace(workload, calibrations=Path(calibrations))
        workload = replace(workload, steps=steps_of(workload, asked.threads, asked.seconds))
        with running(sides(workload, asked.threads, asked.workers)) as started:
            laps = in_turn(started, asked.repeats)
        [precision] = [json.loads(file.read_text())["precision"] for file in Path(calibrations).iterdir()]
    images = workload.num_images
    typically = {name: typical(times) for name, times in laps.items()}
    rates = {name: round(images / time.wall_s, 1) for name, time in typically.items()}
    return {
        "network": workload.network,
        "precision": precision,
        "steps": workload.steps,
        "images_per_s": rates,
        "images_per_cpu_s": {
            name: round(images / max(time.cpu_s, 0.01), 1) for name, time in typically.items()
        },
        "laps_s": {name: [round(time.wall_s, 4) for time in times] for name, times in laps.items()},
        "ours/ordinary": round(rates[OURS] / rates[ORDINARY], 2),
        "ours/step alone": round(rates[OURS] / rates[LIMIT], 3),
    }


def table(results: list[dict[str, Any]]) -> str:
    names = list(results[0]["images_per_s"])
    columns = ["network", "ours computes in", *(f"{name}, images/s" for name in names)]
    columns += ["ours ÷ ordinary", "…a CPU second", "ours ÷ step alone"]
    rows = []
    for result in results:
        rates, a_cpu_second = result["images_per_s"], result["images_per_cpu_s"]
        rows.append(
            [
                result["network"],
                result["precision"],
                *(f"{rates[name]:,.0f}" for name in names),
                f"{result['ours/ordinary']:.1f}×",
                f"{a_cpu_second[OURS] / a_cpu_second[ORDINARY]:.1f}×",
                f"{result['ours/step alone']:.1%}",
            ]
        )
    return markdown(columns, rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    others = len(psutil.Process().cpu_affinity()) - 1
    parser.add_argument(
        "--workers", type=int, default=max(1, others), help="processes that load images in the ordinary loop"
    )
    asked = parsed(parser)
    if not keras_backends():
        print("Keras is left out: `keras` is not installed here")
    results = []
    for network in asked.networks:
        workload = Workload(network=network, steps=1, device=asked.device, data=asked.data, cache=asked.cache)
        results.append(compare(workload, asked))
        print(table(results[-1:]), flush=True)
    facts = dict(threads=asked.threads, workers=asked.workers, data=asked.data, repeats=asked.repeats)
    print(table(results), write("trial_throughput", results, **facts), sep="\n\n")


if __name__ == "__main__":
    main()
