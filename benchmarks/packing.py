"""Trials side by side against the same trials one after another: images a second in all.

python -m benchmarks.packing
python -m benchmarks.packing --networks lenet --counts 1,2,4

Each trial is a process of ``--threads`` threads (and of the one GPU, where there is one), as in a search.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.common import markdown, write
from benchmarks.loops import engine
from benchmarks.sides import Side, clock, running
from benchmarks.trial_throughput import steps_of
from benchmarks.workloads import Workload, add_options, parsed

COUNTS = (1, 2, 4, 8)


def together(sides: Sequence[Side]) -> None:
    """A lap of each at once."""
    for side in sides:
        side.start()
    for side in sides:
        side.result()


def one_by_one(sides: Sequence[Side]) -> None:
    """A lap of each after another."""
    for side in sides:
        side.lap()


def compare(workload: Workload, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """One network, every number of trials."""
    workload = replace(workload, steps=steps_of(workload, asked.threads, asked.seconds))
    trials = {
        str(number): partial(Side, engine, workload, threads=asked.threads)
        for number in range(max(asked.counts))
    }
    results = []
    with running(trials) as started:
        for count in asked.counts:
            sides = list(started.values())[:count]
            packed_s, serial_s = list[float](), list[float]()
            for _ in range(asked.repeats):
                packed_s.append(clock(lambda sides=sides: together(sides)))
                serial_s.append(clock(lambda sides=sides: one_by_one(sides)))
            images = count * workload.num_images
            results.append(
                {
                    "network": workload.network,
                    "trials": count,
                    "steps": workload.steps,
                    "packed_images_per_s": round(images / median(packed_s), 1),
                    "serial_images_per_s": round(images / median(serial_s), 1),
                    "packed/serial": round(median(serial_s) / median(packed_s), 2),
                    "packed_s": [round(s, 4) for s in packed_s],
                    "serial_s": [round(s, 4) for s in serial_s],
                }
            )
    return results


def table(results: Sequence[dict[str, Any]]) -> str:
    columns = [
        "network", "trials", "side by side, images/s", "one after another, images/s", "side by side ÷ in turn"
    ]  # fmt: skip
    rows = [
        [
            result["network"],
            result["trials"],
            f"{result['packed_images_per_s']:,.0f}",
            f"{result['serial_images_per_s']:,.0f}",
            f"{result['packed/serial']:.2f}×",
        ]
        for result in results
    ]
    return markdown(columns, rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser, networks=("speednet", "lenet"))
    parser.add_argument(
        "--counts", type=lambda text: [int(count) for count in text.split(",")], default=list(COUNTS)
    )
    asked = parsed(parser)
    if asked.quick:
        asked.counts = asked.counts[:2]
    results: list[dict[str, Any]] = []
    for network in asked.networks:
        with TemporaryDirectory() as calibrations:
            workload = Workload(
                network=network,
                steps=1,
                device=asked.device,
                data=asked.data,
                cache=asked.cache,
                calibrations=Path(calibrations),
            )
            results += compare(workload, asked)
    facts = dict(threads=asked.threads, data=asked.data, repeats=asked.repeats)
    print(table(results), write("packing", results, **facts), sep="\n\n")


if __name__ == "__main__":
    main()
