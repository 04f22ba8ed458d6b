"""Several trials at a time against the same trials one after another: images a second in all.

python -m benchmarks.packing
python -m benchmarks.packing --networks lenet --counts 1,2,4

Real trials (``TrialRun``), which do the same work on all sides:

one after another   a process each of ``--threads`` threads, one of which trains at a time
side by side        the same processes all at once, as in a search by Ray
naive               processes all at once of as many threads as there are cores
in threads          threads of one process, each on a stream of its own of the GPU; only where there is one

And steps alone, of a process of ``--threads`` threads (see ``benchmarks/fused.py``):

in turn             a step of each network after that of another
fused               all networks trained as one
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.common import markdown, write
from benchmarks.fused import steps_fused, steps_in_turn
from benchmarks.loops import engine
from benchmarks.sides import Lap, Side, clock, running
from benchmarks.trial_throughput import steps_of
from benchmarks.workloads import Workload, add_options, parsed
from convscout.services.executors.in_process import take_stream
from convscout.services.system.resources import num_cores
from convscout.trials.compute.precision import choose_device

COUNTS = (1, 2, 4, 8)
SERIAL, PACKED, NAIVE, THREADS = "one after another", "side by side", "naive", "in threads"
IN_TURN, FUSED = "steps in turn", "fused steps"
RATIOS = {
    "packed/serial": (PACKED, SERIAL),
    "packed/naive": (PACKED, NAIVE),
    "threads/serial": (THREADS, SERIAL),
    "threads/naive": (THREADS, NAIVE),
    "fused/in turn": (FUSED, IN_TURN),
}


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


def in_threads(workload: Workload, count: int) -> Lap:
    """A lap is an epoch of each of ``count`` trials, in a thread and on a stream each."""
    workers = [ThreadPoolExecutor(1, initializer=take_stream, initargs=(0,)) for _ in range(count)]
    laps = [worker.submit(engine, workload).result() for worker in workers]

    def epoch_of_each() -> None:
        for under_way in [worker.submit(lap) for worker, lap in zip(workers, laps, strict=True)]:
            under_way.result()

    return lambda: clock(epoch_of_each)


def compare(workload: Workload, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """One network, every number of trials."""
    workload = replace(workload, steps=steps_of(workload, asked.threads, asked.seconds))
    most = range(max(asked.counts))
    ours = {f"{PACKED} {i}": partial(Side, engine, workload, threads=asked.threads) for i in most}
    naive = {f"{NAIVE} {i}": partial(Side, engine, workload, threads=num_cores()) for i in most}
    with running({**ours, **naive}) as started:
        return [_result(workload, count, _timed(workload, count, started, asked)) for count in asked.counts]


def _timed(
    workload: Workload, count: int, started: Mapping[str, Side], asked: argparse.Namespace
) -> dict[str, list[float]]:
    """Seconds of each lap, by side; the sides take turns."""
    ours, naive = ([started[f"{name} {i}"] for i in range(count)] for name in (PACKED, NAIVE))
    one_process: dict[str, Callable[..., Lap]] = {IN_TURN: steps_in_turn, FUSED: steps_fused}
    if choose_device(workload.device).type == "cuda":
        one_process[THREADS] = in_threads
    makers = {
        name: partial(Side, build, workload, count, threads=asked.threads)
        for name, build in one_process.items()
    }
    with running(makers) as alone:
        work: dict[str, Callable[[], object]] = {
            SERIAL: partial(one_by_one, ours),
            PACKED: partial(together, ours),
            NAIVE: partial(together, naive),
            **{name: side.lap for name, side in alone.items()},
        }
        seconds: dict[str, list[float]] = {name: [] for name in work}
        order = list(work)
        for _ in range(asked.repeats):
            for name in order:
                seconds[name].append(clock(work[name]))
            order = [*order[1:], order[0]]
    return seconds


def _result(workload: Workload, count: int, seconds: Mapping[str, list[float]]) -> dict[str, Any]:
    typical = {name: median(times) for name, times in seconds.items()}
    images = count * workload.num_images
    ratios = {
        ratio: round(typical[slower] / typical[faster], 2)
        for ratio, (faster, slower) in RATIOS.items()
        if faster in typical
    }
    return {
        "network": workload.network,
        "trials": count,
        "steps": workload.steps,
        "images_per_s": {name: round(images / wall_s, 1) for name, wall_s in typical.items()},
        **ratios,
        "seconds": {name: [round(s, 4) for s in times] for name, times in seconds.items()},
    }


def table(results: Sequence[dict[str, Any]]) -> str:
    """Images a second of every side, and how many times as fast the first of a pair is."""
    sides = list(results[0]["images_per_s"])
    ratios = [ratio for ratio in RATIOS if ratio in results[0]]
    rows = [
        [
            result["network"],
            result["trials"],
            *(f"{result['images_per_s'][side]:,.0f}" for side in sides),
            *(f"{result[ratio]:.2f}×" for ratio in ratios),
        ]
        for result in results
    ]
    return markdown(["network", "trials", *sides, *ratios], rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser, networks=("lenet", "resnet20"))
    parser.add_argument(
        "--counts", type=lambda text: [int(count) for count in text.split(",")], default=list(COUNTS)
    )
    asked = parsed(parser)
    if asked.quick:
        asked.counts = [2]
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
    facts = dict(threads=asked.threads, naive_threads=num_cores(), data=asked.data, repeats=asked.repeats)
    print(table(results), write("packing", results, **facts), sep="\n\n")


if __name__ == "__main__":
    main()
