"""What a study leaves open is decided by its data and its time, and what it names is left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from search_space.architecture import ImageSpec, families
from search_space.complexity import measure
from services.config import StudyConfig
from services.defaults import (
    LEAST_EPOCHS,
    LEAST_FAMILIES,
    LEAST_FULL_TRIALS,
    MOST_EPOCHS,
    default_epochs,
    settled,
)
from tests.search_space.variants import recipe_for
from trials.batches import TrainingData
from trials.splits import LabelledImages, Normalization

SEARCHED = {name for name, family in families.items() if family.searched}
STRONGEST = sorted(sorted(SEARCHED), key=lambda name: -families.get(name).strength)


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
    device: str = "cpu",
    sharing: int = 1,
    **options: Any,
) -> StudyConfig:
    config = StudyConfig.from_options({"name": "s", "data": "digits", **options})
    return settled(config, data(num_images, size), workers=workers, device=device, sharing=sharing)[0]


def test_little_time_is_for_the_strongest_families() -> None:
    assert set(decided(time_s=60).families) == set(STRONGEST[:LEAST_FAMILIES])


def test_with_time_for_all_of_them_all_take_part_but_those_to_be_named() -> None:
    assert set(decided(time_s=7 * 86_400).families) == SEARCHED
    assert "pretrained" not in SEARCHED


def test_more_time_more_workers_and_smaller_images_make_room_for_more() -> None:
    def count(**options: Any) -> int:
        return len(decided(epochs=10, **options).families)

    few = count(time_s=3600)
    assert LEAST_FAMILIES < few < len(SEARCHED)
    assert count(time_s=7200) > few
    assert count(time_s=3600, workers=4) > few
    assert count(time_s=3600, size=16) > few


def test_trials_that_share_a_gpu_share_its_arithmetic() -> None:
    def count(workers: int, sharing: int) -> int:
        options = dict(size=96, device="cuda", epochs=10, time_s=600)
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
    usual = decided(time_s=1800).epochs
    assert usual == decided(trials=10).epochs  # without a limit it plans as for half an hour
    assert LEAST_EPOCHS < usual < MOST_EPOCHS
    assert decided(time_s=600).epochs < usual < decided(time_s=7200).epochs
    assert decided(time_s=1800, workers=8).epochs > usual
    assert decided(time_s=1800, num_images=20_000).epochs > usual
    assert decided(time_s=1800, size=16).epochs > usual
    assert decided(time_s=1800, families=("wide_resnet",)).epochs < usual  # slower than the strongest of all
    assert decided(time_s=1800, device="cuda").epochs == MOST_EPOCHS
    assert decided(time_s=20).epochs == LEAST_EPOCHS


def test_four_full_trials_fit_into_little_time_and_more_of_them_into_more() -> None:
    def full_trials(time_s: float) -> float:
        images_seen = 1_400 * time_s  # of all workers together
        return images_seen / 45_000 / default_epochs(45_000, images_seen)

    assert full_trials(600) == pytest.approx(LEAST_FULL_TRIALS, rel=0.2)
    assert full_trials(1800) == pytest.approx(LEAST_FULL_TRIALS, rel=0.2)
    assert full_trials(4 * 7200) > 2 * full_trials(7200) > 3 * LEAST_FULL_TRIALS


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
