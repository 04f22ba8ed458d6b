"""How long does a proposal take as a study grows, and is what the faster sampler proposes as good?

python -m benchmarks.sampler_latency
python -m benchmarks.sampler_latency --regret

The ledger, its SQLite file and the space of all families are real; trials are imagined. A proposal is all that the
ledger does for a trial of one epoch: ask, suggest, commit, report, tell. Our TPE and Optuna's take turns. Regret is
compared seed by seed, over the whole space with an imagined objective (``benchmarks/imagined.py``) and over the
table of real training (``benchmarks/tabulate.py``), with every trial trained to its end.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from benchmarks.common import markdown, write
from benchmarks.imagined import SPACE, Imagined
from benchmarks.replay import Replay, Strategy, Table
from benchmarks.search_quality import NOBODY, interval
from convscout.search_space.complexity import Complexity
from convscout.search_space.space import SearchSpace
from convscout.services.config.home import Home
from convscout.services.config.study_config import StudyConfig
from convscout.services.ledger.ledger import Ledger
from convscout.services.plugins import pruners, samplers
from convscout.services.samplers.base import SamplerFactory, SamplingTask
from convscout.trials.config import Measurement, TrialConfig
from convscout.trials.end_reason import EndReason

FAVOURITE = "resnet"  # of most trials, as in a study that has found its family
COST = Complexity(params=1, flops=1, activations=1, peak_train_bytes=1)
NEVER = pruners.get("none")()


def ours(space: SearchSpace) -> SamplerFactory:
    return samplers.get("tpe")(SamplingTask(space=space)).fresh


def optunas(study: Study, seed: int) -> TPESampler:
    return TPESampler(seed=seed)


class Concentrated(RandomSampler):
    """Random, but four trials of five are of one family."""

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if param_name == "family" and trial.number % 5:
            return FAVOURITE
        return super().sample_independent(study, trial, param_name, param_distribution)


def measured(epoch: int, accuracy: float) -> Measurement:
    """An epoch of an imagined trial."""
    return Measurement(
        epoch=epoch, train_loss=1.0, val_loss=1.0, val_accuracy=accuracy, val_balanced_accuracy=accuracy,
        val_macro_f1=accuracy, val_calibration_error=0.1, learning_rate=0.1, elapsed_s=1.0, images_per_s=1000.0,
        precision="float32",
    )  # fmt: skip


def propose(ledger: Ledger, sampler: SamplerFactory) -> None:
    """One trial, from its proposal to its end."""
    proposal = ledger.propose(SPACE, sampler)
    architecture, recipe = proposal.candidate
    config = TrialConfig(
        number=proposal.number, attempt=1, dataset="f" * 64, architecture=architecture, recipe=recipe, seed=0
    )
    ledger.commit(config, COST)
    accuracy = float(np.random.default_rng(proposal.number).random())
    ledger.report(proposal.number, 1, measured(1, accuracy), NEVER)
    ledger.finish(proposal.number, 1, EndReason.COMPLETED, "done")


def timed_ms(function: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds until it was done, and those of them that this process computed."""
    began, computed = time.perf_counter(), time.process_time()
    function()
    return 1e3 * (time.perf_counter() - began), 1e3 * (time.process_time() - computed)


def latency(counts: Sequence[int], turns: int) -> list[dict[str, Any]]:
    """Milliseconds of a proposal, and of opening the study, once it has so many trials."""
    results = []
    fast = ours(SPACE)
    with TemporaryDirectory() as root:
        config = StudyConfig(name="latency", data="digits", trials=100_000)
        ledger = Ledger.create(Home(Path(root)), config, fingerprint="f" * 64)
        for count in counts:
            for _ in range(count - len(ledger.trials())):
                propose(ledger, lambda study, seed: Concentrated(seed=seed))
            propose(ledger, fast)  # reads what is new since its last one
            turn = [
                (timed_ms(lambda: propose(ledger, fast)), timed_ms(lambda: propose(ledger, optunas)))
                for _ in range(turns)
            ]
            loads = [timed_ms(lambda: Ledger.open(ledger.ref).trials()) for _ in range(3)]
            results.append(
                {
                    "trials": count,
                    **_medians("ours", [own for own, _ in turn]),
                    **_medians("optuna", [other for _, other in turn]),
                    **_medians("cold_load", loads),
                }
            )
            print(results[-1], flush=True)
    return results


def imagined_regret(sampler: SamplerFactory, seed: int, trials: int) -> list[float]:
    """The worth of the best candidate so far, by trial, turned so that less is better."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study, objective = optuna.create_study(direction="maximize"), Imagined(seed)
    worths = []
    for number in range(trials):
        study.sampler = sampler(study, 100_003 * seed + number)
        trial = study.ask()
        SPACE.suggest(trial)
        worths.append(-objective.worth(trial))
        study.tell(trial, objective.told(trial))
    return list(np.minimum.accumulate(worths))


def tabulated_regret(sampler: Callable[[SearchSpace], SamplerFactory], seed: int, trials: int) -> list[float]:
    """What the best accuracy so far falls short of the table's best, by trial."""
    table = Table.read()
    strategy = Strategy(name="", sampler=lambda table, seed: sampler(table.space), stopper=NOBODY)
    found = Replay(table, strategy, seed, trials * table.epochs).run()
    found += [found[-1]] * (trials * table.epochs - len(found))
    return [table.best - value for value in found[table.epochs - 1 :: table.epochs]]


def regret(seeds: int, points: Sequence[int]) -> list[dict[str, Any]]:
    """Both TPEs on both objectives: medians over the seeds, and of what ours has more than Optuna's."""
    results = []
    objectives: dict[str, Callable[[Callable[[SearchSpace], SamplerFactory], int], list[float]]] = {
        "imagined": lambda sampler, seed: imagined_regret(sampler(SPACE), seed, max(points)),
        "table": lambda sampler, seed: tabulated_regret(sampler, seed, max(points)),
    }
    for name, run in objectives.items():
        pairs = [(run(ours, seed), run(lambda space: optunas, seed)) for seed in range(seeds)]
        for point in points:
            own, other = np.array([[line[point - 1] for line in pair] for pair in pairs]).T
            low, high = interval(own - other)
            results.append(
                {
                    "objective": name,
                    "trials": point,
                    "ours": round(float(np.median(own)), 5),
                    "optuna": round(float(np.median(other)), 5),
                    "ours_more_than_optuna": round(float(np.median(own - other)), 5),
                    "interval": [round(low, 5), round(high, 5)],
                }
            )
            print(results[-1], flush=True)
    return results


def _medians(name: str, times: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Of the milliseconds that ``name`` took and computed."""
    took, computed = np.median(times, axis=0)
    return {f"{name}_ms": round(float(took), 1), f"{name}_cpu_ms": round(float(computed), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", default="100,1000,3000,10000", help="sizes of the study, rising")
    parser.add_argument("--turns", type=int, default=15, help="proposals of each sampler at each size")
    parser.add_argument("--regret", action="store_true", help="compare how good the proposals are instead")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--points", default="25,50,100,200", help="trials after which regret is told")
    parser.add_argument("--quick", action="store_true", help="few trials and seeds: does it run?")
    asked = parser.parse_args()
    if asked.quick:
        asked.trials, asked.turns, asked.seeds, asked.points = "20", 2, 2, "12"
    if asked.regret:
        results = regret(asked.seeds, [int(point) for point in asked.points.split(",")])
        path = write("sampler_regret", results, seeds=asked.seeds)
    else:
        results = latency([int(count) for count in asked.trials.split(",")], asked.turns)
        path = write("sampler_latency", results, turns=asked.turns)
    print(markdown(list(results[0]), [list(each.values()) for each in results]), "", path, sep="\n")


if __name__ == "__main__":
    main()
