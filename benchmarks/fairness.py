"""Which networks that would have won does a pruner stop, with and without ``--fair family``, and what does it cost?

python -m benchmarks.fairness
python -m benchmarks.fairness --pruner median --trials 40 --seeds 100

Replays studies of random configurations from the table of ``benchmarks.tabulate``, several trials at a time. A
study's winner is the trial that would end best if none were stopped; a family's winner likewise. What is lost is
by how much the best accuracy seen falls short of the winner's, for families on average.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from benchmarks.common import markdown, write
from benchmarks.replay import Row, Table
from convscout.services.plugins import pruners
from convscout.services.pruners.base import Pruner
from convscout.services.pruners.curves import Curve, Curves
from convscout.services.pruners.fair import Fair

BOOTSTRAP = 2_000
MEASURES = ("epochs", "winner kept", "winner's loss", "families' winners kept", "families' loss")


@dataclass(frozen=True)
class Study:
    """The configurations of one study in the order of their trials."""

    rows: Sequence[Row]

    @cached_property
    def ends(self) -> list[float]:
        """The best accuracy of each, trained to its end."""
        return [max(row.accuracies) for row in self.rows]

    @cached_property
    def families(self) -> list[str]:
        """The family of each."""
        return [str(row.parameters["family"]) for row in self.rows]

    def scores(self, trained: Sequence[int]) -> list[float]:
        """The ``MEASURES`` of a search that trained each for so many epochs."""
        seen = [max(row.accuracies[:epochs]) for row, epochs in zip(self.rows, trained, strict=True)]
        groups = [range(len(self.rows))] + [
            [trial for trial, each in enumerate(self.families) if each == family]
            for family in sorted(set(self.families))
        ]
        winners = [max(group, key=lambda trial: self.ends[trial]) for group in groups]
        kept = [trained[winner] == len(self.rows[winner].accuracies) for winner in winners]
        lost = [
            self.ends[winner] - max(seen[trial] for trial in group)
            for winner, group in zip(winners, groups, strict=True)
        ]
        return [sum(trained), kept[0], lost[0], float(np.mean(kept[1:])), float(np.mean(lost[1:]))]


def replay(study: Study, pruner: Pruner, workers: int) -> list[int]:
    """How many epochs each trial is trained when ``workers`` train at a time, an epoch of each in turn."""
    curves, trained = Curves(), [0] * len(study.rows)
    waiting = iter(range(len(study.rows)))
    running = list(islice(waiting, workers))
    while running:
        for slot, trial in enumerate(running):
            trained[trial] += 1
            curve = _curve(study, trial, trained[trial])
            curves.put(curve)
            if not curve.running or pruner.stops(curve, curves.rivals(trial)):
                curves.put(replace(curve, running=False))
                running[slot] = next(waiting, -1)
        running = [trial for trial in running if trial >= 0]
    return trained


def _curve(study: Study, trial: int, epochs: int) -> Curve:
    accuracies = study.rows[trial].accuracies
    return Curve(
        number=trial,
        family=study.families[trial],
        epochs=len(accuracies),
        values=accuracies[:epochs],
        running=epochs < len(accuracies),
    )


def interval(values: np.ndarray) -> list[float]:
    """A 95 % bootstrap interval of the mean."""
    draws = np.random.default_rng(0).choice(values, (BOOTSTRAP, len(values)))
    return [round(float(bound), 5) for bound in np.quantile(draws.mean(axis=1), [0.025, 0.975])]


def compare(table: Table, name: str, size: int, seeds: int, workers: int) -> list[dict[str, Any]]:
    """Studies of ``size`` trials with the pruner called ``name``, plain and fair, and how much they differ."""
    usable = [row for row in table.rows if row.accuracies]
    measured = []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(usable))[:size]
        study = Study([usable[index] for index in order])
        measured.append(
            [
                study.scores(replay(study, Fair(pruners.get(name)(), by_family), workers))
                for by_family in (False, True)
            ]
        )
    plain, fair = np.moveaxis(np.array(measured, float), 1, 0)  # (seeds, measures) each
    return [
        {"trials": size, "pruner": label}
        | {measure: round(float(values[:, column].mean()), 5) for column, measure in enumerate(MEASURES)}
        | {f"{measure} 95 %": interval(values[:, column]) for column, measure in enumerate(MEASURES)}
        for label, values in ((name, plain), (f"fair {name}", fair), ("difference", fair - plain))
    ]


def report(results: Sequence[dict[str, Any]]) -> str:
    """Means over the seeds; losses in points, and of differences their intervals."""
    lines = []
    for each in results:
        cells = []
        for measure in MEASURES:
            scale, form = (1, ".0f") if measure == "epochs" else (100, ".2f" if "loss" in measure else ".0f")
            unit = " %" if "kept" in measure else ""
            low, high = (format(scale * bound, form) for bound in each[f"{measure} 95 %"])
            text = f"{format(scale * each[measure], form)}{unit}"
            cells.append(f"{text} ({low} to {high})" if each["pruner"] == "difference" else text)
        lines.append([each["pruner"], each["trials"], *cells])
    return markdown(["pruner", "trials", *MEASURES], lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pruner", default="asha")
    parser.add_argument("--trials", default="40,120,360", help="sizes of studies, comma-separated")
    parser.add_argument("--seeds", type=int, default=100, help="studies of each size")
    parser.add_argument("--workers", type=int, default=4, help="trials at a time")
    asked = parser.parse_args()
    table = Table.read()
    results = [
        result
        for size in map(int, asked.trials.split(","))
        for result in compare(table, asked.pruner, size, asked.seeds, asked.workers)
    ]
    path = write(
        "fairness", results, configurations=len(table.rows), seeds=asked.seeds, workers=asked.workers
    )
    print(report(results), "", path, sep="\n")


if __name__ == "__main__":
    main()
