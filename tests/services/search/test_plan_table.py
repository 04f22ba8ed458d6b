"""Whatever the machine, the data and the time: a search ends with a model, keeps its time and uses it.

Machines from a fiftieth of the reference to twenty times as fast, 20 seconds to 12 hours, 100 to a million images of
8 to 512 pixels in 2 to 1,000 classes, 1 to 64 workers: the real plan and controller by a simulated clock.
"""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import NamedTuple

import pytest

from convscout.trials.config import TrialState
from convscout.trials.end_reason import EndReason
from tests.support.simulated_search import STARTING_S, Images, Machine, Told, simulate
from tests.support.soaking import repetitions

SPEEDS = (0.02, 0.1, 0.4, 1.0, 5.0, 20.0)
TIMES_S = (20.0, 60.0, 600.0, 3_600.0, 43_200.0)
COUNTS = (100, 3_000, 60_000, 1_000_000)
SIDES = (8, 32, 128, 512)
CLASSES = (2, 10, 1_000)
WORKERS = (1, 2, 8, 64)
MOST_TRIALS = 24  # beyond them a cell of few images says no more, and takes long


class Cell(NamedTuple):
    """One machine, time and data set."""

    speed: float
    time_s: float
    count: int
    side: int
    classes: int
    workers: int

    def __str__(self) -> str:
        return f"{self.speed:g}x-{self.time_s:g}s-{self.count}x{self.side}px-{self.classes}c-{self.workers}w"


def cells() -> list[Cell]:
    """All pairs of a speed and a time, with the other sides drawn so that each pair of values of theirs occurs."""
    rng = random.Random(0)
    others = list(itertools.product(COUNTS, SIDES, CLASSES, WORKERS))
    rng.shuffle(others)
    pairs = list(itertools.product(SPEEDS, TIMES_S))
    found = [Cell(speed, time_s, *other) for (speed, time_s), other in zip(2 * pairs, others, strict=False)]
    return [cell for cell in found if cell.count >= 3 * cell.classes]  # a source asks for as many


CELLS = cells()
# What a laptop, a server and a cluster would be asked.
COMMON = [
    Cell(0.4, 60.0, 60_000, 32, 10, 2),
    Cell(0.4, 600.0, 60_000, 32, 10, 2),
    Cell(0.13, 600.0, 60_000, 32, 10, 1),
    Cell(1.0, 120.0, 1_797, 8, 10, 2),
    Cell(0.4, 1_800.0, 3_000, 224, 5, 2),
    Cell(0.02, 20.0, 1_000_000, 512, 1_000, 1),
]


def check(told: Told, cell: Cell) -> None:
    assert told.models, "always a model"
    assert not [record for record in told.trials if record.state is TrialState.FAILED]
    unused = [record for record in told.trials if record.state is TrialState.REJECTED]
    codes = {record.reason_code for record in unused}
    assert codes <= {EndReason.DUPLICATE, EndReason.TOO_SLOW, EndReason.NOT_SCOUTED}, (
        "nothing is rejected that could be scaled"
    )
    least_reading_s = 3 * cell.classes * Images(count=cell.count, side=cell.side).read_s(cell.speed)
    if told.least_end_s + STARTING_S < 0.5 * cell.time_s and least_reading_s < 0.3 * cell.time_s:
        assert told.took_s <= 1.03 * cell.time_s, "the time is a promise"
    many = cell.count * cell.side**2 >= 60_000 * 32**2 and len(told.trials) < MOST_TRIALS
    if many and cell.time_s >= 600:
        assert told.trained_s >= 0.9 * told.available_s, "time that is left is used"


@pytest.mark.parametrize("cell", COMMON, ids=str)
def test_a_common_search_ends_with_a_model_in_time(cell: Cell, tmp_path: Path) -> None:
    run(cell, tmp_path)


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("cell", repetitions(CELLS[::4], CELLS), ids=str)
def test_any_search_ends_with_a_model_in_time(cell: Cell, tmp_path: Path) -> None:
    run(cell, tmp_path)


@pytest.mark.parametrize("busier", [1.5, 3.0])
def test_a_machine_that_slows_down_once_it_was_measured_keeps_the_promise(
    busier: float, tmp_path: Path
) -> None:
    machine = Machine(speed=0.4, workers=2, busier=busier)
    told = simulate(tmp_path, machine, Images(count=60_000), time_s=600.0)
    assert told.models
    # the only trial is told its end when it begins, before anybody knows how long the end will take now
    assert told.took_s <= (1.03 if busier < 2 else 1.1) * 600.0


def test_the_table_has_every_value_of_each_side() -> None:
    for index, values in enumerate((SPEEDS, TIMES_S, COUNTS, SIDES, CLASSES, WORKERS)):
        assert {cell[index] for cell in CELLS} == set(values)


def run(cell: Cell, home: Path) -> None:
    machine = Machine(speed=cell.speed, workers=cell.workers)
    images = Images(count=cell.count, side=cell.side, classes=cell.classes)
    check(simulate(home, machine, images, time_s=cell.time_s, most_trials=MOST_TRIALS), cell)
