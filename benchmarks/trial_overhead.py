"""What a trial costs beside its training, through each executor, and what tracking costs the controller.

python -m benchmarks.trial_overhead
python -m benchmarks.trial_overhead --full --sampler random

The search, the ledger, the executors and the files are the real ones; the trials train one weight on ten images
for one epoch. A trial's cost is the time between the ends of two trials, of a single worker that is warm. MLflow
follows only where ``--tracking`` asks for it. cProfile tells where the controller's time goes, and slows it down.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from mlflow.entities import Metric

from benchmarks.common import markdown, write
from benchmarks.empty_trial import NAME, installed
from benchmarks.workloads import synthetic
from convscout.search_space.complexity_meter import measure
from convscout.services.config.home import Home
from convscout.services.config.study_config import EXECUTORS, StudyConfig
from convscout.services.events.events import Event, TrialEnded, TrialStarted
from convscout.services.executors.base import Executor
from convscout.services.executors.in_process import InProcessExecutor
from convscout.services.ledger.ledger import Ledger
from convscout.services.plugins import pruners, samplers
from convscout.services.samplers.base import SamplingTask
from convscout.services.search.budget import Budget
from convscout.services.search.controller import Search
from convscout.services.search.setting import SearchSetting
from convscout.services.studies.session import study_space
from convscout.services.tracking.mirror import Mirror
from convscout.services.tracking.projector import Projector
from convscout.services.tracking.source import ValidationLabels
from convscout.services.tracking.store import TrackingStore
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.config import TrialConfig, TrialState
from convscout.trials.data.batches import TrainingData
from convscout.trials.training.run import Dispatch, TrialRun

DATA = synthetic(10, num_validation=10, side=8)
METRICS = 100
TOP = 15  # entries of a profile


@dataclass
class Clock:
    """A listener that notes when trials start and end."""

    began: float = field(default_factory=time.perf_counter)
    started: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        if isinstance(event, TrialStarted):
            self.started.append(time.perf_counter() - self.began)
        if isinstance(event, TrialEnded):
            assert event.trial.state is TrialState.COMPLETED, event.trial.reason
            self.ended.append(time.perf_counter() - self.began)


def make_executor(name: str, data: TrainingData) -> Executor:
    """One worker of one thread."""
    if name == "in-process":
        return InProcessExecutor(data, threads=1)
    from convscout.services.executors.ray_tune import RayExecutor

    return RayExecutor(data, workers=1, threads=1, gpus=0)


def new_study(root: Path, executor: str, trials: int, sampler: str) -> tuple[Ledger, SearchSetting]:
    """A study of empty trials under ``root``."""
    config = StudyConfig(
        name="empty", data="digits", families=(NAME,), sampler=sampler, executor=executor, trials=trials, epochs=1
    )  # fmt: skip
    setting = SearchSetting(
        space=study_space(config, DATA),
        budget=Budget(started_s=time.time(), trials=trials),
        fingerprint=DATA.fingerprint,
        num_training=len(DATA.train),
        num_validation=1,
        num_test=0,
        gpu_share=0.0,
        device="cpu",
    )
    return Ledger.create(Home(root), config, fingerprint=DATA.fingerprint), setting


def follow(ledger: Ledger) -> Mirror:
    """The thread that keeps MLflow up to date with ``ledger``."""
    labels = ValidationLabels(
        labels=DATA.validation.labels, class_names=tuple(map(str, range(DATA.image.num_classes)))
    )
    mirror = Mirror(lambda: Projector(ledger, TrackingStore.at(ledger.home), labels))
    mirror.start()
    return mirror


def ignore(number: int) -> None:
    """The ``touch`` of a search that nobody follows."""


def search(executor: str, trials: int, asked: argparse.Namespace, run: Callable[..., Any]) -> Clock:
    """Run a study of ``trials`` empty trials; ``run`` calls the executor."""
    with TemporaryDirectory() as root:
        ledger, setting = new_study(Path(root), executor, trials, asked.sampler)
        mirror = follow(ledger) if asked.tracking else None
        clock = Clock()
        controller = Search(
            ledger,
            setting,
            listener=clock,
            touch=mirror.touch if mirror else ignore,
            interrupted=lambda: False,
        )
        controller.prepare()
        run(make_executor(executor, DATA).run, controller)
        if mirror:
            mirror.close(60)
    assert len(clock.ended) == trials
    return clock


def directly(function: Callable[..., None], *args: object) -> None:
    function(*args)


def overhead(executor: str, trials: int, asked: argparse.Namespace) -> dict[str, float]:
    """Seconds of one search: until the first trial is sent and is over, and those of a further trial."""
    clock = search(executor, trials, asked, directly)
    took = np.diff(clock.ended)
    late = took[-max(1, len(took) // 10) :]
    times = {"start_s": clock.started[0], "first_trial_s": clock.ended[0] - clock.started[0]}
    if trials > 1:
        times |= {"trial_s": float(took.mean()), "late_trial_s": float(late.mean())}
    return times


def hot_spots(executor: str, trials: int, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Where the controller's process spends its time: the functions with the most of their own."""
    profiler = cProfile.Profile()
    search(executor, trials, asked, profiler.runcall)
    stats: Any = pstats.Stats(profiler)
    spots = []
    for (path, line, function), (_, calls, own_s, all_s, _) in stats.stats.items():
        where = path.rpartition("/convscout/")[2] if _is_ours(path) else "/".join(Path(path).parts[-2:])
        spots.append(
            {
                "function": f"{where}:{line} {function}" if line else function,
                "calls_a_trial": round(calls / trials, 1),
                "own_ms_a_trial": round(1e3 * own_s / trials, 3),
                "ms_a_trial": round(1e3 * all_s / trials, 3),
            }
        )
    by_own = sorted(spots, key=lambda spot: -spot["own_ms_a_trial"])[:TOP]
    ours = [spot for spot in spots if spot["function"].startswith(("services/", "trials/", "search_space/"))]
    return by_own + sorted(ours, key=lambda spot: -spot["ms_a_trial"])[:TOP]


def _is_ours(path: str) -> bool:
    return any(f"/convscout/{room}/" in path for room in ("services", "trials", "search_space"))


def tracking(epochs: int) -> dict[str, float]:
    """Seconds that the controller waits an epoch: to tell the mirror, and to log to MLflow by itself instead."""
    with TemporaryDirectory() as root, TemporaryDirectory() as other:
        ledger, setting = new_study(Path(root), "in-process", 1, "random")
        sampler = samplers.get("random")(SamplingTask(space=setting.space)).fresh
        proposal = ledger.propose(setting.space, sampler)
        architecture, recipe = proposal.candidate
        config = TrialConfig(
            number=proposal.number,
            attempt=1,
            dataset=DATA.fingerprint,
            architecture=architecture,
            recipe=recipe.with_epochs(epochs + 1),
            seed=0,
        )
        ledger.commit(config, measure(architecture, recipe, DATA.image))
        directory = TrialDirectory(ledger.ref.trial(proposal.number))
        directory.claim(1)
        dispatch = Dispatch(config=config, directory=str(directory.path), device="cpu", reported=0)
        measured = TrialRun(dispatch, DATA).epoch().measurement
        assert measured is not None
        store = TrackingStore.at(Home(Path(other)))
        client = store.client()
        run_id = client.create_run(
            client.create_experiment("overhead", store.artifacts and store.artifacts.as_uri())
        ).info.run_id
        mirror = follow(ledger)
        told, logged = list[float](), list[float]()
        pruner = pruners.get("none")()
        for epoch in range(1, epochs + 1):
            ledger.report(proposal.number, 1, replace(measured, epoch=epoch), pruner)
            began = time.perf_counter()
            mirror.touch(proposal.number)
            told.append(time.perf_counter() - began)
            metrics = [
                Metric(f"metric{index}", epoch, int(1e3 * time.time()), epoch) for index in range(METRICS)
            ]
            began = time.perf_counter()
            client.log_batch(run_id, metrics)
            logged.append(time.perf_counter() - began)
        mirror.close(60)
    return {
        "touch_s": median(told),
        "slowest_touch_s": max(told),
        "log_batch_s": median(logged),
        "slowest_log_batch_s": max(logged),
    }


def milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1e3 * seconds:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--executors",
        type=lambda text: text.split(","),
        default=["in-process", "ray"],
        help=", ".join(EXECUTORS),
    )
    parser.add_argument("--sampler", default="tpe", choices=samplers.names())
    parser.add_argument("--tracking", action="store_true", help="let MLflow follow")
    parser.add_argument("--full", action="store_true", help="1,000 trials too")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=100, help="that tracking is told of")
    parser.add_argument("--quick", action="store_true", help="few trials in this process: does it run?")
    asked = parser.parse_args()
    counts = [1, 100, *([1000] if asked.full else [])]
    if asked.quick:
        asked.executors, asked.repeats, asked.epochs, counts = asked.executors[:1], 1, 3, [1, 3]
    with installed():
        runs: dict[tuple[str, int], list[dict[str, float]]] = {}
        for _ in range(asked.repeats):
            for trials in counts:
                for executor in asked.executors:
                    runs.setdefault((executor, trials), []).append(overhead(executor, trials, asked))
        results: list[dict[str, Any]] = [
            {"executor": executor, "trials": trials}
            | {key: round(median(each[key] for each in found), 6) for key in found[0]}
            for (executor, trials), found in sorted(runs.items())
        ]
        spots = {name: hot_spots(name, counts[1], asked) for name in asked.executors}
        told = tracking(asked.epochs)
    for name, found in spots.items():
        print(f"\n{name}: where the controller's time goes, under cProfile, in ms a trial; ours below\n")
        columns = ["function", "calls", "own", "with callees"]
        print(markdown(columns, [list(spot.values()) for spot in found]))
    columns = [
        "executor",
        "trials",
        "ms until the first is sent",
        "of the first",
        "of a further",
        "of the last tenth",
    ]
    keys = ("start_s", "first_trial_s", "trial_s", "late_trial_s")
    rows = [[r["executor"], r["trials"], *(milliseconds(r.get(key)) for key in keys)] for r in results]
    print("", markdown(columns, rows), sep="\n")
    columns = ["tracking, ms that an epoch waits", "median", "slowest"]
    waits = {"the mirror's touch": "touch_s", f"MLflow's log_batch of {METRICS} metrics": "log_batch_s"}
    rows = [
        [what, milliseconds(told[key]), milliseconds(told[f"slowest_{key}"])] for what, key in waits.items()
    ]
    print("", markdown(columns, rows), sep="\n")
    facts = dict(sampler=asked.sampler, mirrored=asked.tracking, tracking=told, profiles=spots)
    print(write("trial_overhead", results, repeats=asked.repeats, **facts))


if __name__ == "__main__":
    main()
