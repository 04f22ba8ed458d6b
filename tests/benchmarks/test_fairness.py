"""The replay of the fairness benchmark trains what the pruner lets it, and judges that rightly."""

from __future__ import annotations

import pytest

from benchmarks.fairness import Study, compare, replay
from benchmarks.replay import Row, Table
from convscout.services.plugins import pruners
from convscout.services.pruners.fair import Fair

EPOCHS = 12


def _row(family: str, *accuracies: float) -> Row:
    return Row(parameters={"family": family}, accuracies=accuracies)


FAST = [_row("lenet", *[0.5 + trial / 100] * EPOCHS) for trial in range(6)]
SLOW = _row("resnet", *[0.2] * 4, *[0.9] * 8)
STUDY = Study([*FAST, SLOW])


@pytest.mark.parametrize("workers", [1, 3, 20])
def test_without_a_pruner_everything_is_trained_and_nothing_lost(workers: int) -> None:
    trained = replay(STUDY, pruners.get("none")(), workers)
    assert trained == [EPOCHS] * len(STUDY.rows)
    assert STUDY.scores(trained) == [EPOCHS * len(STUDY.rows), 1, 0, 1, 0]


def test_fairness_keeps_a_slow_winner_that_plain_asha_stops() -> None:
    plain = replay(STUDY, Fair(pruners.get("asha")(), by_family=False), 1)
    fair = replay(STUDY, Fair(pruners.get("asha")()), 1)
    assert (plain[-1], fair[-1]) == (2, EPOCHS)
    assert STUDY.scores(plain)[1:] == pytest.approx([0, 0.9 - 0.55, 0.5, (0.9 - 0.2) / 2])
    assert STUDY.scores(fair)[1:3] == [1, 0]


def test_the_difference_is_of_the_same_studies() -> None:
    plain, fair, difference = compare(Table(tuple(STUDY.rows)), "asha", size=7, seeds=3, workers=2)
    assert difference["epochs"] == pytest.approx(fair["epochs"] - plain["epochs"], abs=1e-4)
    low, high = difference["epochs 95 %"]
    assert low <= difference["epochs"] <= high
