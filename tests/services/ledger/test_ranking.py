"""Of equal trials the first is the better; the front is what nothing dominates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convscout.services.ledger.ranking import pareto_front, rank
from tests.support.records import record

Point = tuple[int, ...]
COORDINATE = st.integers(0, 4)


def test_the_best_comes_first_and_of_equals_the_first() -> None:
    trials = [record(number, accuracy) for number, accuracy in enumerate((0.5, 0.9, 0.9, 0.1))]
    assert [trial.number for trial in rank(reversed(trials))] == [1, 2, 0, 3]


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@given(data=st.data())
def test_nothing_dominates_the_front_and_the_front_dominates_the_rest(
    dimensions: int, data: st.DataObject
) -> None:
    points = data.draw(st.lists(st.tuples(*[COORDINATE] * dimensions), min_size=1, max_size=20))
    front = pareto_front(points)
    assert front == sorted(front)

    def dominates(one: Point, other: Point) -> bool:
        return one != other and all(mine >= theirs for mine, theirs in zip(one, other, strict=True))

    for index, point in enumerate(points):
        assert (index in front) == (not any(dominates(other, point) for other in points))


def test_nothing_has_no_front() -> None:
    assert pareto_front([]) == []
