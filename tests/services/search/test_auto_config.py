"""What a study leaves open is decided by its data and its time, and what it names is left alone."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.complexity_meter import measure
from convscout.services.config.study_config import StudyConfig
from convscout.services.search.auto_config import (
    ENOUGH_IMAGES,
    LEAST_EPOCHS,
    LEAST_FAMILIES,
    MARGIN,
    MOST_EPOCHS,
    count_full_trials,
    default_epochs,
    images_to_train,
    resolve,
    usual_trials,
)
from convscout.services.search.runtime_model import RuntimeModel
from convscout.trials.data.batches import TrainingData
from convscout.trials.data.splits import LabelledImages, Normalization
from tests.support.simulated_search import Machine
from tests.support.variants import recipe_for

measured_once = cache(measure)
SEARCHED = {name for name, family in families.items() if family.searched}
STRONGEST = sorted(sorted(SEARCHED), key=lambda name: -families.get(name).strength)


@pytest.fixture(autouse=True)
def _costs_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convscout.services.search.auto_config.measure", measured_once)


def data(num_images: int, size: int) -> TrainingData:
    """So many black images."""
    images = LabelledImages(
        images=np.zeros((num_images, size, size, 3), np.uint8), labels=np.zeros(num_images, np.int64)
    )
    return TrainingData(
        train=images,
        validation=images,
        image=ImageSpec(in_channels=3, image_size=size, num_classes=10),
        normalization=Normalization(mean=(0.0,) * 3, std=(1.0,) * 3),
        fingerprint="",
    )


def decided(
    num_images: int = 45_000,
    size: int = 32,
    workers: int = 2,
    speed: float = 1.0,
    sharing: int = 1,
    **options: Any,
) -> StudyConfig:
    config = StudyConfig.from_options({"name": "s", "data": "digits", **options})
    machine = Machine(speed=speed, workers=workers).measured
    runtime = RuntimeModel.on(machine, training=num_images, validation=num_images // 10)
    images = data(num_images, size)
    return resolve(config, images, runtime, workers=workers, sharing=sharing, united=sharing == 1)[0]


def test_little_time_is_for_the_strongest_families() -> None:
    assert set(decided(time_s=60).families) == set(STRONGEST[:LEAST_FAMILIES])


def test_with_time_for_all_of_them_all_take_part_but_those_to_be_named() -> None:
    assert set(decided(time_s=7 * 86_400).families) == SEARCHED
    assert "pretrained" not in SEARCHED


def test_more_time_more_workers_and_smaller_images_make_room_for_more() -> None:
    def count(**options: Any) -> int:
        return len(decided(epochs=10, scouts=0, **options).families)

    few = count(time_s=7_200)
    assert LEAST_FAMILIES < few < len(SEARCHED)
    assert count(time_s=10_800) > few
    assert count(time_s=7_200, workers=4) > few
    assert count(time_s=7_200, size=16) > few


def test_scouts_make_room_for_more_families() -> None:
    few = decided(epochs=10, scouts=0, time_s=7_200).families
    assert set(few) < set(decided(epochs=10, scouts=20, time_s=7_200).families)


def test_trials_that_share_a_gpu_share_its_arithmetic() -> None:
    def count(workers: int, sharing: int) -> int:
        options = dict(size=96, speed=50.0, epochs=10, time_s=600)
        return len(decided(workers=workers, sharing=sharing, **options).families)

    assert LEAST_FAMILIES < count(1, 1) == count(4, 4) < count(4, 1)


def test_the_portfolio_takes_no_more_than_half_of_the_trials() -> None:
    assert set(decided(trials=10).families) == set(STRONGEST[:5])


def test_what_a_study_names_is_left_alone() -> None:
    assert decided(time_s=60, families=("mlp", "alexnet")).families == ("mlp", "alexnet")
    assert decided(time_s=60, epochs=7).epochs == 7


def test_a_family_whose_knob_is_named_takes_part() -> None:
    weakest = STRONGEST[-1]
    chosen = decided(time_s=60, space={f"{weakest}.activation": "relu"}).families
    assert weakest in chosen and set(STRONGEST[:LEAST_FAMILIES]) <= set(chosen)


def test_full_trials_grow_with_time_workers_and_speed_and_shrink_with_the_data() -> None:
    usual = decided(time_s=14_400).epochs
    assert LEAST_EPOCHS < usual < MOST_EPOCHS
    assert decided(time_s=600).epochs < usual < decided(time_s=43_200).epochs
    assert decided(time_s=14_400, workers=8).epochs > usual
    assert decided(time_s=14_400, num_images=20_000).epochs > usual
    assert decided(time_s=14_400, size=16).epochs > usual
    assert decided(time_s=14_400, families=("nin",)).epochs > usual  # faster than the strongest of all
    assert decided(time_s=1800, speed=100.0).epochs == MOST_EPOCHS
    assert decided(time_s=20).epochs == LEAST_EPOCHS
    # without a limit several trials are to fit into half an hour
    assert decided(trials=10).epochs < decided(time_s=1800).epochs


def full_trials(images_seen: float, fewest: int = 1) -> float:
    """How many of them fit into what all workers together can see of 45,000 images."""
    return images_seen / 45_000 / default_epochs(45_000, images_seen, fewest, flops=25e6)


def test_little_time_is_for_one_trial_and_more_brings_longer_ones_and_more_of_them() -> None:
    assert full_trials(300_000) == pytest.approx(1 / MARGIN, rel=0.1), "it may train on until the time ends"
    assert full_trials(700_000) == pytest.approx(1 / MARGIN, rel=0.1)
    assert full_trials(3_000_000) == pytest.approx(usual_trials(45_000, 3_000_000), rel=0.1)
    assert full_trials(10_000_000) > 2 * full_trials(3_000_000) > 4 * full_trials(1_500_000) / 1.1
    assert full_trials(40_000_000) == pytest.approx(2.6 * full_trials(10_000_000), rel=0.1), (
        "longer ones, too"
    )


def test_workers_that_cannot_unite_have_a_full_trial_each() -> None:
    assert full_trials(300_000, fewest=2) == pytest.approx(2, rel=0.2)


def test_full_trials_are_counted_by_the_time_that_is_left() -> None:
    config = decided(time_s=1800)
    machine = Machine(speed=1.0, workers=2).measured
    runtime = RuntimeModel.on(machine, training=45_000, validation=4_500)

    def count(left_s: float, workers: int = 2) -> float:
        return count_full_trials(config, data(45_000, 32), runtime, workers=workers, left_s=left_s)

    assert count(3600) == pytest.approx(2 * count(3600, workers=1))
    assert count(3600) > 1.9 * count(1800)
    assert count(float("inf")) == float("inf")


def test_few_images_are_shared_by_more_trials() -> None:
    digits = default_epochs(1_078, 200_000, fewest=2, flops=2e6)  # two minutes on two slow cores
    assert 15 < digits < MOST_EPOCHS and 200_000 / 1_078 / digits > 6
    assert default_epochs(300, 2_000_000, fewest=2, flops=2e6) == MOST_EPOCHS


def test_with_too_little_time_images_and_network_shrink_alike() -> None:
    proven = 30e6
    fitting = 20_000.0  # images, of the proven network
    wanted = images_to_train(fitting, proven)
    shrunk = proven * fitting / wanted
    assert fitting < wanted < ENOUGH_IMAGES and shrunk < proven
    quarter = images_to_train(fitting / 4, proven)
    assert quarter == pytest.approx(wanted / 2)
    assert proven * fitting / 4 / quarter == pytest.approx(shrunk / 2)
    assert images_to_train(2 * ENOUGH_IMAGES, proven) == 2 * ENOUGH_IMAGES, "there is time for the proven one"


def test_a_weak_family_does_not_take_part_because_it_is_cheap() -> None:
    chosen = decided(time_s=1800).families
    assert set(chosen) == set(STRONGEST[: len(chosen)]) and "mlp" not in chosen


def test_families_whose_proven_network_keeps_the_limits_come_first() -> None:
    small = set(decided(trials=6, max_params="300k").families)
    assert len(small) == LEAST_FAMILIES
    assert all(proven_params(name) <= 300_000 for name in small)
    assert any(proven_params(name) > 300_000 for name in decided(trials=6).families)


def proven_params(name: str) -> int:
    image = data(1, 32).image
    return measure(families.get(name).proven(), recipe_for(image), image).params
