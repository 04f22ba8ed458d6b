"""Which search finds the best network with the fewest epochs? Replayed from a table of real training, without training.

python -m benchmarks.search_quality
python -m benchmarks.search_quality --seeds 30 --only "random,convscout"

Regret is by how much the best accuracy seen so far falls short of the table's best. Our samplers and pruners take
turns with Optuna's defaults, Ray's ASHA (random search, spared the repeats that Ray would train again), and a control
that trains every configuration of a random half of the budget for one epoch and then the best of them to the end.
``benchmarks.tabulate`` made the table.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from benchmarks.common import markdown, write
from benchmarks.replay import MakeSampler, Replay, ReplayedTrial, Stopper, Strategy, Table
from convscout.services.config.study_config import StudyConfig
from convscout.services.plugins import pruners, samplers
from convscout.services.pruners.curves import Curve, Curves
from convscout.services.pruners.fair import Fair
from convscout.services.samplers.base import SamplingTask
from convscout.services.search.checkpoint_gc import RESUMABLE

CLOSE = 0.002  # 0.2 points
BOOTSTRAP = 2_000


def ours(name: str) -> Callable[[Table, int], MakeSampler]:
    """One of the samplers of ``services/samplers``."""

    def make(table: Table, seed: int) -> MakeSampler:
        return samplers.get(name)(SamplingTask(space=table.space, seed=seed)).fresh

    return make


def optunas(kind: Callable[..., BaseSampler]) -> Callable[[Table, int], MakeSampler]:
    """One of Optuna's samplers, one for the whole study as its users have it."""

    def make(table: Table, seed: int) -> MakeSampler:
        sampler = kind(seed=seed)
        return lambda study, number: sampler

    return make


class OurPruner:
    """One of the pruners of ``services/pruners``, fair by family or not."""

    def __init__(self, name: str, by_family: bool, table: Table) -> None:
        self._pruner = Fair(pruners.get(name)(), by_family)
        self._epochs = table.epochs
        self._curves = Curves()

    def stops(self, trial: ReplayedTrial) -> bool:
        curve = Curve(number=trial.number, family=trial.family, epochs=self._epochs, values=tuple(trial.seen))
        self._curves.put(curve)
        return self._pruner.stops(curve, self._curves.rivals(trial.number))


class OptunaPruner:
    """One of Optuna's pruners, asked as its users ask it."""

    def __init__(self, pruner: optuna.pruners.BasePruner) -> None:
        self._pruner = pruner

    def stops(self, trial: ReplayedTrial) -> bool:
        study = trial.asked.study
        return self._pruner.prune(study, study.get_trials(deepcopy=False)[trial.number])


class RayAsha:
    """Ray Tune's scheduler of the same name with its defaults but the length of a trial."""

    def __init__(self, table: Table) -> None:
        from ray.tune.schedulers import AsyncHyperBandScheduler

        self._scheduler = AsyncHyperBandScheduler(
            time_attr="epoch", metric="accuracy", mode="max", max_t=table.epochs
        )
        self._known: dict[int, _RayTrial] = {}

    def stops(self, trial: ReplayedTrial) -> bool:
        if trial.number not in self._known:
            self._known[trial.number] = _RayTrial(str(trial.number))
            self._scheduler.on_trial_add(None, self._known[trial.number])
        result = {"epoch": len(trial.seen), "accuracy": trial.seen[-1]}
        decision = self._scheduler.on_trial_result(None, self._known[trial.number], result)
        return bool(decision == "STOP")


@dataclass(frozen=True)
class _RayTrial:
    """All that the scheduler looks at of a trial."""

    trial_id: str


def pruner(name: str, *, by_family: bool = True) -> Callable[[Table], Stopper]:
    """A fresh pruner of ours."""
    return lambda table: OurPruner(name, by_family, table)


def revives(stopped: Sequence[ReplayedTrial], table: Table, left: float) -> ReplayedTrial | None:
    """As ``Search`` does: once too little is left for a new trial to train to its end."""
    if left >= table.epochs:
        return None
    best_first = sorted((trial for trial in stopped if not trial.revived), key=lambda trial: -trial.best)
    for trial in best_first[:RESUMABLE]:
        if table.epochs - len(trial.seen) <= left:
            return trial
    return None


NOBODY = pruner("none")
STRATEGIES = (
    Strategy(name="random", sampler=ours("random"), stopper=NOBODY),
    Strategy(name="tpe", sampler=ours("tpe"), stopper=NOBODY),
    Strategy(name="tpe + portfolio", sampler=ours("tpe"), stopper=NOBODY, portfolio=True),
    Strategy(name="local + portfolio", sampler=ours("local"), stopper=NOBODY, portfolio=True),
    *(
        Strategy(name=f"tpe + {name}", sampler=ours("tpe"), stopper=pruner(name, by_family=False))
        for name in ("asha", "hyperband", "median", "percentile", "patient", "wilcoxon")
    ),
    Strategy(name="tpe + fair asha", sampler=ours("tpe"), stopper=pruner("asha")),
    Strategy(name="tpe + fair asha + portfolio", sampler=ours("tpe"), stopper=pruner("asha"), portfolio=True),
    *(
        Strategy(
            name=name,
            sampler=ours(sampler),
            stopper=pruner(StudyConfig(name="any", data="digits").pruner),
            portfolio=True,
            revives=revives,
        )  # its defaults: all of it; and where time suffices for few trials
        for name, sampler in (("convscout", "tpe"), ("convscout with local", "local"))
    ),
    Strategy(
        name="Optuna's defaults",
        sampler=optunas(TPESampler),
        stopper=lambda table: OptunaPruner(optuna.pruners.MedianPruner()),
        repeats=True,
    ),
    Strategy(name="Ray's ASHA", sampler=optunas(RandomSampler), stopper=RayAsha, neighbours=False),
)
CONTROL = "one epoch each, then the best"


def control(table: Table, seed: int, budget: int) -> list[float]:
    """Half of ``budget`` on the first epoch of random configurations, the other on training the best to the end."""
    rng = np.random.default_rng(seed)
    rows = [table.rows[index] for index in rng.permutation(len(table.rows))][: max(1, budget // 2)]
    rows = [row for row in rows if row.accuracies]
    steps: list[float] = [row.accuracies[0] for row in rows]
    for row in sorted(rows, key=lambda row: -row.accuracies[0]):
        steps += row.accuracies[1:]
    return list(np.maximum.accumulate(steps[:budget]))


def regret_at(incumbents: Sequence[float], epochs: int, best: float) -> float:
    """What is missing from ``best`` after so many ``epochs``."""
    return best - incumbents[min(epochs, len(incumbents)) - 1]


def epochs_until_close(incumbents: Sequence[float], best: float) -> float:
    """Epochs until the best is missed by no more than ``CLOSE``; infinity if it always was."""
    return next(
        (epochs for epochs, value in enumerate(incumbents, 1) if value >= best - CLOSE - 1e-9), float("inf")
    )


def interval(values: Sequence[float]) -> tuple[float, float]:
    """A 95 % bootstrap interval of the median."""
    rng = np.random.default_rng(0)
    ordered = np.sort(np.asarray(values, float))
    draws = rng.integers(len(ordered), size=(BOOTSTRAP, len(ordered)))
    medians = np.sort(np.sort(draws, axis=1)[:, len(ordered) // 2])  # of ranks, so that infinity does no harm
    return float(ordered[medians[int(0.025 * BOOTSTRAP)]]), float(ordered[medians[int(0.975 * BOOTSTRAP)]])


def summarize(
    name: str, runs: Sequence[Sequence[float]], table: Table, points: Sequence[int]
) -> dict[str, Any]:
    """One strategy over all seeds."""
    close = [epochs_until_close(run, table.best) for run in runs]
    found = {
        "strategy": name,
        "epochs_until_close": _median(close),
        "interval": interval(close),
        "never": sum(value == float("inf") for value in close),
    }
    for epochs in points:
        regrets = [regret_at(run, epochs, table.best) for run in runs]
        found[f"regret_at_{epochs}"] = round(statistics.median(regrets), 5)
        found[f"regret_at_{epochs}_interval"] = [round(bound, 5) for bound in interval(regrets)]
    return found


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first seed")
    parser.add_argument("--epochs", type=int, default=1_200, help="of a search")
    parser.add_argument("--points", default="150,300,600,1200", help="epochs at which regret is told")
    parser.add_argument("--only", help="strategies whose names hold one of these, comma-separated")
    parser.add_argument("--quick", action="store_true", help="two seeds, few epochs: does it run?")
    asked = parser.parse_args()
    if asked.quick:
        asked.seeds, asked.epochs, asked.points = 2, 60, "30,60"
    points = [int(point) for point in asked.points.split(",")]
    table = Table.read()
    chosen = [
        strategy
        for strategy in STRATEGIES
        if not asked.only or any(part in strategy.name for part in asked.only.split(","))
    ]
    runs: dict[str, list[list[float]]] = {strategy.name: [] for strategy in chosen} | {CONTROL: []}
    for seed in range(asked.first, asked.first + asked.seeds):
        for strategy in chosen:
            runs[strategy.name].append(Replay(table, strategy, seed, asked.epochs).run())
        runs[CONTROL].append(control(table, seed, asked.epochs))
        print(f"seed {seed}", file=sys.stderr, flush=True)
    results = [summarize(name, values, table, points) for name, values in runs.items()]
    # the control divides each budget anew, so its regret at a smaller one is that of another run
    for epochs in points:
        values = [control(table, seed, epochs)[-1] for seed in range(asked.first, asked.first + asked.seeds)]
        results[-1][f"regret_at_{epochs}"] = round(table.best - statistics.median(values), 5)
    facts = {"configurations": len(table.rows), "best": table.best, "seeds": asked.seeds}
    path = write("search_quality", results, **facts)
    print(report(results, points), "", path, sep="\n")


def report(results: Sequence[dict[str, Any]], points: Sequence[int]) -> str:
    """Epochs until close to the best, and regret in points after some."""
    rows = [
        [
            each["strategy"],
            f"{each['epochs_until_close']:g} ({each['interval'][0]:g} to {each['interval'][1]:g})",
            each["never"],
            *(f"{100 * each[f'regret_at_{epochs}']:.2f}" for epochs in points),
        ]
        for each in results
    ]
    columns = ["strategy", "epochs to 0.2 points (95 %)", "never", *(f"regret at {each}" for each in points)]
    return markdown(columns, rows)


if __name__ == "__main__":
    main()
