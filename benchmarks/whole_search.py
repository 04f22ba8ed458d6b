"""A whole search in this process, with its ensemble: without Ray, MLflow and export, so that it runs where they lack.

python -m benchmarks.whole_search cifar10-jpeg --time 10m

Settings, placement, search, selection and test are those of ``convscout search --executor in-process``; the test
split is opened once, at the end.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.common import markdown, write
from convscout.search_space.space import SearchSpace
from convscout.services.config.home import Home
from convscout.services.config.study_config import StudyConfig
from convscout.services.evaluation.score_rows import ENSEMBLE
from convscout.services.events.events import Event, Notice, TrialEnded
from convscout.services.executors.data_placement import share_gpu
from convscout.services.executors.in_process import InProcessExecutor
from convscout.services.executors.machine_speed import machine_speed
from convscout.services.executors.placement import place
from convscout.services.ledger.ledger import Ledger
from convscout.services.search.auto_config import resolve, with_sampler
from convscout.services.search.budget import Budget
from convscout.services.search.controller import Search
from convscout.services.search.runtime_model import RuntimeModel
from convscout.services.search.setting import SearchSetting
from convscout.services.studies.finish import Finish
from convscout.services.system.resources import num_cores
from convscout.trials.compute.precision import choose_device
from convscout.trials.data.batches import TrainingData
from convscout.trials.data.sources import load
from convscout.trials.data.splits import DataSplits

QUICK = dict(families=("lenet",), trials=2, epochs=1, threads=1)


def tell(event: Event) -> None:
    """Print what a person would want to see go by."""
    if isinstance(event, Notice):
        print(event.text, flush=True)
    if isinstance(event, TrialEnded):
        trial = event.trial
        accuracy = f"{trial.best.val_accuracy:.2%}" if trial.best else "–"
        print(f"trial {trial.number} {trial.family} {trial.state}: {accuracy}, {trial.reason}", flush=True)


def ignore(number: int) -> None:
    """The ``touch`` of a search that nobody follows."""


def run(config: StudyConfig, home: Home, cache: Path, started_s: float) -> dict[str, Any]:
    """Search with ``config`` and finish; the time counts from ``started_s``, and decoded images are in ``cache``."""
    splits = load(replace(config.data_request(home), cache=cache))
    data, device = TrainingData.of(splits), choose_device(config.device).type
    placement = place(config, data)
    speed = machine_speed(home, device, time_s=config.time_s)
    runtime = RuntimeModel.on(speed, training=len(data.train), validation=len(data.validation))
    config, full_trials = resolve(config, data, runtime, workers=placement.workers, sharing=placement.per_gpu)
    data = share_gpu(data, placement)
    executor = InProcessExecutor(
        data,
        threads=config.threads or max(1, num_cores() // placement.workers),
        workers=placement.workers,
        gpus=placement.gpus,
    )
    assert config.epochs and config.time_s, "settled"
    space = SearchSpace(image=data.image, families=config.families, epochs=config.epochs)
    config, _ = with_sampler(config, space, full_trials)
    setting = SearchSetting(
        space=space,
        budget=Budget(started_s=started_s, time_s=config.time_s, trials=config.trials),
        fingerprint=splits.fingerprint,
        num_training=len(data.train),
        num_validation=len(splits.validation),
        num_test=splits.num_test,
        gpu_share=0.0,
        device=device,
        runtime=runtime,
        workers=placement.workers,
        speed=speed,
    )
    ledger = Ledger.create(home, config, fingerprint=splits.fingerprint)
    search = Search(ledger, setting, listener=tell, touch=ignore, interrupted=lambda: False)
    search.prepare()
    executor.run(search)
    search.close()
    searched_s = time.time() - started_s
    return {
        "executor": f"{executor.name}, {placement.workers} at a time",
        "families": config.families,
        "epochs": config.epochs,
        **finished(ledger, splits, search.affordable_members),
        "searched_s": round(searched_s, 1),
        "elapsed_s": round(time.time() - started_s, 1),
    }


def finished(ledger: Ledger, splits: DataSplits, max_members: int) -> dict[str, Any]:
    """What was trained, and what the best of it is worth."""
    finish = Finish(ledger, splits, tell)
    selected, best = finish.select(max_members)
    judgement = finish.judge(selected, best, selected)
    trials = ledger.trials()
    return {
        "states": dict(Counter(str(trial.state) for trial in trials)),
        "failures": sorted({trial.reason for trial in trials if trial.state == "failed"}),
        "eager": sorted({m.computed_in for trial in trials for m in trial.measurements if m.eager_reason}),
        "epochs_trained": sum(len(trial.measurements) for trial in trials),
        "best": {"number": best.number, "family": best.family},
        "ensemble": [
            asdict(member) | {"family": ledger.trial(member.number).family} for member in selected.members
        ],
        "report": [asdict(row) for row in finish.rows(judgement, best)],
        "gain": asdict(judgement.gains[ENSEMBLE]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="a dataset as convscout search takes it")
    parser.add_argument("--time", default="10m", help="of the whole search: 10m, 90s")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="of decoded images")
    parser.add_argument("--quick", action="store_true", help="two trials of an epoch: does it run?")
    asked = parser.parse_args()
    started_s = time.time()
    options: dict[str, Any] = {"data": asked.data, "time": asked.time, "device": asked.device}
    config = StudyConfig.from_options(
        {"name": "whole-search", "executor": "in-process", **options, **(QUICK if asked.quick else {})}
    )
    with TemporaryDirectory() as root:
        result = run(config, Home(Path(root)), asked.cache, started_s)
    rows = [
        [row["name"], row["split"], *(f"{row[figure]:.2%}" for figure in ("accuracy", "low", "high"))]
        for row in result["report"]
    ]
    print("", markdown(["model", "split", "accuracy", "from", "to"], rows), "", sep="\n")
    print(f"{result['states']} in {result['elapsed_s']} s", write("whole_search", [result], data=asked.data))


if __name__ == "__main__":
    main()
