"""All that should be measured on a GPU, part by part, with a short table at the end.

python -m benchmarks.gpu_checks cifar10-jpeg
python -m benchmarks.gpu_checks cifar10-jpeg --parts accuracy,search --search-time 8m

graphs      replayed training of every family against eager training          benchmarks/graphs.py
throughput  images a second beside an ordinary loop and the bare step         benchmarks/trial_throughput.py
packing     several trials at a time against one after another                benchmarks/packing.py
memory      predicted against real memory of sampled candidates               benchmarks/memory.py
accuracy    seconds to an accuracy, beside airbench where it is installed     benchmarks/time_to_accuracy.py
search      a whole search in one process, with its ensemble                  benchmarks/whole_search.py

Each part is a process of its own and writes its own results, so that what breaks one, or the GPU's context, spares
the others. Neither Ray nor MLflow is needed. The exit status is 1 if a part failed. A part that needs a GPU is
skipped where there is none.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import memory
from benchmarks.common import RESULTS, markdown, write
from convscout.search_space.errors import ConfigError
from convscout.trials.compute.precision import choose_device

Results = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A benchmark: its module, what it is told beside its device, and its results in a line."""

    module: str
    options: Callable[[argparse.Namespace], Sequence[str]]
    headline: Callable[[Results, dict[str, Any]], str]  # of its results and its whole record
    needs_gpu: bool = False


def _graphs(results: Results, record: dict[str, Any]) -> str:
    worst = max(results, key=lambda result: float(result["difference"]))
    faster = median(r["images_per_s"]["replayed"] / r["images_per_s"]["eager"] for r in results)
    return (
        f"{len(results)} families train as eagerly (farthest {worst['difference']:.1e}, {worst['family']}), "
        f"{faster:.1f}× as fast"
    )


def _throughput(results: Results, record: dict[str, Any]) -> str:
    return "; ".join(
        f"{r['network']} {r['images_per_s']['ours']:,.0f} images/s, {r['ours/ordinary']:.1f}× ordinary, "
        f"{r['ours/step alone']:.0%} of the step"
        for r in results
    )


def _packing(results: Results, record: dict[str, Any]) -> str:
    ratios = ("packed/serial", "threads/serial", "fused/in turn")
    return "; ".join(
        f"{r['network']} × {r['trials']}: "
        + ", ".join(f"{ratio} {r[ratio]:.2f}" for ratio in ratios if ratio in r)
        for r in results
    )


def _memory(results: Results, record: dict[str, Any]) -> str:
    real, held = memory.shares(results, "real_bytes"), memory.shares(results, "held_bytes")
    return (
        f"{len(results)} candidates; real ÷ predicted {median(real):.2f}, at most {max(real):.2f}; "
        f"held ÷ predicted {median(held):.2f}, at most {max(held):.2f}"
    )


def _accuracy(results: Results, record: dict[str, Any]) -> str:
    ours = "; ".join(f"{r['val_accuracy'][-1]:.2%} after {r['training_s'][-1]} s" for r in results)
    other = record["airbench"]
    return ours + (
        f"; airbench {other['val_accuracy']:.2%} after {other['elapsed_s']} s" if other else "; no airbench"
    )


def _search(results: Results, record: dict[str, Any]) -> str:
    [result] = results
    scores = ", ".join(
        f"{row['name']} {row['accuracy']:.2%} ({row['low']:.2%} to {row['high']:.2%})"
        for row in result["report"]
        if row["split"] == "test"
    )
    return f"{sum(result['states'].values())} trials in {result['elapsed_s']} s; test: {scores}"


PARTS = {
    "graphs": Part(module="graphs", options=lambda asked: [], headline=_graphs, needs_gpu=True),
    "throughput": Part(
        module="trial_throughput",
        options=lambda asked: ["--seconds", "1", "--repeats", "3"],
        headline=_throughput,
    ),
    "packing": Part(
        module="packing",
        options=lambda asked: ["--seconds", "0.5", "--repeats", "3", "--counts", "1,4,8"],
        headline=_packing,
    ),
    "memory": Part(module="memory", options=lambda asked: [], headline=_memory, needs_gpu=True),
    "accuracy": Part(
        module="time_to_accuracy",
        options=lambda asked: [asked.data, "--cache", str(asked.cache)],
        headline=_accuracy,
    ),
    "search": Part(
        module="whole_search",
        options=lambda asked: [asked.data, "--cache", str(asked.cache), "--time", asked.search_time],
        headline=_search,
    ),
}


def check(name: str, asked: argparse.Namespace, device: str) -> dict[str, Any]:
    """What came of the part: ``state`` is ok, failed or skipped, and ``result`` a line about it."""
    part = PARTS[name]
    if part.needs_gpu and device != "cuda":
        return {"part": name, "state": "skipped", "result": "needs a GPU", "took_s": 0.0}
    command = [sys.executable, "-m", f"benchmarks.{part.module}", *part.options(asked), "--device", device]
    print(f"\n{name}: {' '.join(command[1:])}", flush=True)
    began = time.monotonic()
    ran = subprocess.run(
        [*command, *(["--quick"] if asked.quick else [])], stderr=subprocess.PIPE, text=True, check=False
    )
    outcome = {"part": name, "took_s": round(time.monotonic() - began, 1)}
    if ran.returncode:
        print(ran.stderr, file=sys.stderr, flush=True)
        return {**outcome, "state": "failed", "result": _reason(ran)}
    record = json.loads((RESULTS / f"{part.module}.json").read_text())
    return {**outcome, "state": "ok", "result": part.headline(record["results"], record)}


def _reason(ran: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in ran.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit status {ran.returncode}, and not a word"


def _row(outcome: dict[str, Any]) -> list[object]:
    return [outcome["part"], outcome["state"], f"{outcome['took_s']:.0f} s", outcome["result"]]


def _parts(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: must be of {', '.join(PARTS)}")
    return names


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="a dataset as convscout search takes it, for accuracy and search")
    parser.add_argument("--parts", type=_parts, default=list(PARTS), help=",".join(PARTS))
    parser.add_argument("--search-time", default="10m", help="of the whole search")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="of decoded images")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--quick", action="store_true", help="little of each part: does it run?")
    asked = parser.parse_args()
    try:
        device = choose_device(asked.device).type
    except ConfigError as error:
        sys.exit(str(error))
    outcomes = []
    for name in asked.parts:
        outcomes.append(check(name, asked, device))
        print(" | ".join(map(str, _row(outcomes[-1]))), flush=True)  # should the call be cut off
    columns = ["part", "state", "took", "result"]
    print("", markdown(columns, list(map(_row, outcomes))), "", write("gpu_checks", outcomes), sep="\n")
    sys.exit(any(outcome["state"] == "failed" for outcome in outcomes))


if __name__ == "__main__":
    main()
