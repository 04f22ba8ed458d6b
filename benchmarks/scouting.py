"""Do scouts tell which networks are worth a full trial? Random candidates, each trained briefly and in full.

python -m benchmarks.scouting digits
python -m benchmarks.scouting folder:cifar10-jpeg --image-size 16 --images 4000 --epochs 16 --candidates 40

Kendall's tau is 1 where both rank the candidates alike, and 0 where a scout tells nothing. What the best quarter of the
scouts has of the best quarter of the contenders is a quarter by chance. The two fidelities take turns.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil
import torch
from scipy.stats import kendalltau

from benchmarks.common import markdown, write
from benchmarks.real_trial import epochs
from convscout.search_space.errors import ConvscoutError
from convscout.search_space.space import Candidate, SearchSpace
from convscout.services.samplers.random_candidates import random_candidates
from convscout.services.search.phases import Fidelity
from convscout.trials.config import TrialConfig, TrialPhase
from convscout.trials.data.batches import TrainingData
from convscout.trials.data.sources import DataRequest, load

_data: TrainingData


def _begin(request: DataRequest, images: int | None) -> None:
    global _data
    os.nice(5)
    torch.set_num_threads(1)
    found = TrainingData.of(load(request))
    if images:
        found = replace(found, train=found.train.at(np.arange(min(images, len(found.train)))))
    _data = found


def _compare(candidate: Candidate, seed: int, full_epochs: int) -> dict[str, Any] | None:
    """What ``candidate`` comes to as a scout and as a contender; None where it cannot be trained."""
    architecture, recipe = candidate
    scout = Fidelity.of_scouts(full_epochs, len(_data.train))
    found: dict[str, Any] = {"family": architecture.name}
    orders = ((TrialPhase.SCOUT, scout), (TrialPhase.CONTENDER, Fidelity(epochs=full_epochs, share=1.0)))
    for phase, fidelity in orders:
        config = TrialConfig(
            number=seed,
            attempt=1,
            dataset=_data.fingerprint,
            architecture=architecture,
            recipe=recipe.with_epochs(fidelity.epochs),
            seed=seed + (phase is TrialPhase.CONTENDER) * 10_000,  # a contender has a seed of its own
            phase=phase,
            images_share=fidelity.share,
        )
        try:
            with TemporaryDirectory() as scratch:
                measurements = list(epochs(config, _data, Path(scratch), "cpu"))
        except ConvscoutError:
            return None
        best = max(each.val_accuracy for each in measurements)
        found[str(phase)] = {"accuracy": best, "seconds": measurements[-1].elapsed_s}
    return found


def agreement(scouts: list[float], contenders: list[float]) -> dict[str, float]:
    """How alike both rank the same candidates: Kendall's tau, and the share of the best quarter that both name."""
    quarter = max(1, len(scouts) // 4)
    best = [set(np.argsort(scores, kind="stable")[::-1][:quarter]) for scores in (scouts, contenders)]
    chosen = max(contenders[index] for index in best[0])
    return {
        "tau": float(kendalltau(scouts, contenders).statistic),
        "best_quarter": len(best[0] & best[1]) / quarter,
        "regret": max(contenders) - chosen,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="a dataset as convscout search takes it")
    parser.add_argument("--candidates", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=40, help="of a contender")
    parser.add_argument("--images", type=int, help="to train on; all unless given")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--workers", type=int, default=len(psutil.Process().cpu_affinity()))
    parser.add_argument("--cache", type=Path, help="where decoded images are kept; nowhere unless given")
    parser.add_argument("--quick", action="store_true", help="four candidates, two epochs")
    asked = parser.parse_args()
    if asked.quick:
        asked.epochs, asked.images = 2, 200
    with TemporaryDirectory() as scratch:
        cache = asked.cache or Path(scratch)
        request = DataRequest(data=asked.data, image_size=asked.image_size, seed=0, cache=cache)
        image = load(request).image
        space = SearchSpace(image=image, epochs=asked.epochs)
        candidates = [*space.portfolio(), *random_candidates(space, asked.candidates)]
        candidates = candidates[:4] if asked.quick else candidates
        with ProcessPoolExecutor(asked.workers, initializer=_begin, initargs=(request, asked.images)) as pool:
            counts = range(len(candidates))
            found = pool.map(_compare, candidates, counts, [asked.epochs] * len(candidates))
            rows = []
            for index, row in enumerate(found):
                print(f"{index + 1} of {len(candidates)}: {row}", flush=True)
                rows += [row] if row else []
    summary = []
    for name, kept in (
        ("all", rows),
        *((each, _of(rows, each)) for each in sorted({r["family"] for r in rows})),
    ):
        if len(kept) >= 4:
            told = agreement(*([row[phase]["accuracy"] for row in kept] for phase in ("scout", "contender")))
            summary.append({"candidates": name, "count": len(kept), **told})
    spent = [sum(row[phase]["seconds"] for row in rows) for phase in ("scout", "contender")]
    file = write("scouting", rows, data=asked.data, epochs=asked.epochs, summary=summary, seconds=spent)
    columns = ["candidates", "count", "tau", "best quarter", "regret, points"]
    cells = [
        [
            each["candidates"],
            each["count"],
            f"{each['tau']:.2f}",
            f"{each['best_quarter']:.0%}",
            f"{100 * each['regret']:.2f}",
        ]
        for each in summary
    ]
    print(markdown(columns, cells))
    print(f"a scout took {spent[0] / spent[1]:.1%} of the time of a contender; {file}")


def _of(rows: list[dict[str, Any]], family: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["family"] == family]


if __name__ == "__main__":
    main()
