"""The league: convscout beside what else a person could do with the same images, cores and time.

    python -m benchmarks.league --data cifar10-jpeg --time 10m --seeds 3 --cores 2
    python -m benchmarks.league --data cifar10-jpeg --time 10m --sides convscout,ultralytics --environments environments

Contestants take turns, and whoever was first is last with the next seed. Each is a process of its own that has the same
images as files, the same cores, and the same time from its start to its answer; past 1.25 times that it is killed. The
test images are looked at once, at its end.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

from benchmarks.allocator import ENVIRONMENT
from benchmarks.common import markdown, write
from benchmarks.league_data import LeagueData, prepare
from benchmarks.league_environments import NotInstalled, interpreter
from benchmarks.league_process import Result, run, share_cores
from convscout.services.config.units import parse_duration

SEED = 1  # of the first turn


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A module of ``benchmarks/league_sides/``; one that needs ``packages`` has an environment of its own."""

    module: str
    title: str
    packages: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


CONTESTANTS = {
    "convscout": Contestant(module="convscout_search", title="convscout"),
    "control": Contestant(
        module="control",
        title="the control: a speed-run network",
        variables=ENVIRONMENT,  # convscout keeps its memory by itself
    ),
    "residual": Contestant(module="plain_resnet", title="a plain residual net"),
    "ray": Contestant(module="ray_tutorial", title="Ray's PyTorch tutorial (ASHA)"),
    "optuna": Contestant(module="optuna_example", title="Optuna's PyTorch example"),
    "autokeras": Contestant(
        module="autokeras_search",
        title="AutoKeras",
        # AutoKeras 3.0 builds no layer with a later Keras; it imports TensorBoard, which TensorFlow 2.21 does not bring
        packages=("autokeras", "keras<3.13", "tensorboard", "tensorflow-cpu"),
    ),
    "ultralytics": Contestant(
        module="ultralytics_classify",
        title="Ultralytics, from scratch",
        packages=("ultralytics",),
        variables={"YOLO_OFFLINE": "true"},
    ),
}
DEFAULT = tuple(name for name, each in CONTESTANTS.items() if not each.packages)


def turns(names: Sequence[str], seeds: int) -> list[tuple[int, str]]:
    """Seed and contestant of each run; whoever was first is last with the next seed."""
    return [
        (SEED + number, names[(number + place) % len(names)])
        for number in range(seeds)
        for place in range(len(names))
    ]


def interpreters(sides: Sequence[str], environments: Path | None) -> dict[str, Path | NotInstalled]:
    """What runs each contestant, or why nothing does."""
    found: dict[str, Path | NotInstalled] = {}
    for name in sides:
        found[name] = Path(sys.executable)
        if packages := CONTESTANTS[name].packages:
            assert environments
            try:
                found[name] = interpreter(name, packages, environments)
            except NotInstalled as error:
                found[name] = error
    return found


def play(
    name: str, seed: int, python: Path | NotInstalled, data: LeagueData, asked: argparse.Namespace
) -> Result:
    """One turn of a contestant; its result, or the reason why there is none."""
    if isinstance(python, NotInstalled):
        return {"test_accuracy": None, "reason": f"not installed: {python}", "took_s": 0.0}
    contestant = CONTESTANTS[name]
    answer = asked.work / f"{name}-{seed}.json"
    options = {
        "npz": data.npz,
        "folders": data.folders,
        "time": asked.time,
        "seed": seed,
        "cores": asked.cores,
        "result": answer,
    }
    command = [str(python), "-m", f"benchmarks.league_sides.{contestant.module}"]
    return run(
        [*command, *(f"--{option}={value}" for option, value in options.items())],
        budget_s=asked.time,
        cores=asked.cores,
        answer=answer,
        log=asked.work / f"{name}-{seed}.log",
        environment=contestant.variables,
    )


def table(results: Sequence[Result]) -> str:
    """A row for each contestant, the best first, and below it why there are runs without a result."""
    runs: dict[str, list[Result]] = defaultdict(list)
    for result in sorted(results, key=lambda result: result["seed"]):
        runs[result["contestant"]].append(result)
    ordered = sorted(runs, key=lambda name: _average(runs[name]), reverse=True)
    reasons = [
        f"{CONTESTANTS[name].title}, seed {run['seed']}: no result, {run['reason']}"
        for name in ordered
        for run in runs[name]
        if "reason" in run
    ]
    columns = ("contestant", "test accuracy", "seed by seed", "seconds", "set up (first seed)")
    return "\n".join([markdown(columns, [_row(name, runs[name]) for name in ordered]), "", *reasons])


def _row(name: str, runs: Sequence[Result]) -> list[str]:
    average = _average(runs)
    return [
        CONTESTANTS[name].title,
        f"**{average:.2%}**" if average >= 0 else "no result",
        ", ".join(_percent(run["test_accuracy"]) for run in runs),
        f"{median(run['took_s'] for run in runs):.0f}",
        next((run["setup"] for run in runs if "setup" in run), ""),
    ]


def _average(runs: Sequence[Result]) -> float:
    """The mean accuracy of the runs that had a result; −1 where none had."""
    reached = [run["test_accuracy"] for run in runs if run["test_accuracy"] is not None]
    return mean(reached) if reached else -1.0


def _percent(accuracy: float | None) -> str:
    return "–" if accuracy is None else f"{accuracy:.2%}"


def names(text: str) -> tuple[str, ...]:
    """The contestants that ``text`` lists."""
    chosen = tuple(text.split(","))
    unknown = set(chosen) - set(CONTESTANTS)
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: there are {', '.join(CONTESTANTS)}")
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR_OR_NPZ", help="train/CLASS and test/CLASS, or an npz"
    )
    parser.add_argument(
        "--time", type=parse_duration, default="2m", help="of each contestant: 90s, 10m (default: 2m)"
    )
    parser.add_argument("--seeds", type=int, default=3, help="turns of each contestant (default: 3)")
    parser.add_argument("--cores", type=int, default=2, help="of each contestant (default: 2)")
    parser.add_argument("--sides", type=names, default=DEFAULT, help=f"(default: {','.join(DEFAULT)})")
    parser.add_argument(
        "--environments", type=Path, help="where environments of contestants are, or are made on first use"
    )
    parser.add_argument("--work", type=Path, default=Path("runs/league"), help="for images and logs")
    parser.add_argument("--json", type=Path, help="(default: league.json, where benchmarks write)")
    asked = parser.parse_args()
    apart = [name for name in asked.sides if CONTESTANTS[name].packages]
    if apart and not asked.environments:
        parser.error(f"{', '.join(apart)}: give --environments DIR")
    share_cores(asked.cores)
    asked.work.mkdir(parents=True, exist_ok=True)
    data = prepare(asked.data, asked.work)
    pythons = interpreters(asked.sides, asked.environments)
    results: list[Result] = []
    file = None
    for seed, name in turns(asked.sides, asked.seeds):
        result = {"contestant": name, "seed": seed, **play(name, seed, pythons[name], data, asked)}
        results.append(result)
        said = result.get("reason") or _percent(result["test_accuracy"])
        print(f"seed {seed}, {name}: {said} after {result['took_s']:.0f} s", flush=True)
        file = write("league", results, file=asked.json, data=asked.data.name, budget_s=asked.time)
    print(f"\n{table(results)}\n\n{file}")


if __name__ == "__main__":
    main()
