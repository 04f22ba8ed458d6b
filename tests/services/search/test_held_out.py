"""A search that has time for one network holds back few images to judge it by, and a longer one a tenth."""

from __future__ import annotations

import pytest

from convscout.services.search.extent import FEWEST_JUDGED, extent_for
from convscout.trials.data.extent import Available, Extent
from tests.support.simulated_search import Machine


def chosen(time_s: float, num_train: int = 50_000, num_classes: int = 10, speed: float = 1.0) -> Extent:
    available = Available(
        num_train=num_train, num_validation=0, num_test=10_000, num_classes=num_classes, side=32, channels=3
    )
    measured = Machine(speed=speed, workers=2).measured
    return extent_for(lambda: measured, lambda: time_s, None)(available)


def test_where_there_is_time_for_one_network_few_images_judge_it() -> None:
    extent = chosen(600.0)
    assert extent.share == 1.0
    assert extent.validation_share * 50_000 == pytest.approx(FEWEST_JUDGED, rel=0.05)


def test_many_classes_are_judged_by_more() -> None:
    assert chosen(600.0, num_classes=100).validation_share * 50_000 == pytest.approx(2_000, rel=0.05)


@pytest.mark.parametrize(
    ("time_s", "num_train"), [(86_400.0, 50_000), (600.0, 1_000), (600.0, 5_000)], ids=["day", "few", "some"]
)
def test_where_there_is_time_for_several_a_tenth_chooses_between_them(time_s: float, num_train: int) -> None:
    assert chosen(time_s, num_train).validation_share == 0.1
