"""As many trials share a GPU as fit into its memory and find a core, unless the person says how many."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from convscout.search_space.complexity_meter import measure
from convscout.search_space.errors import ConfigError
from convscout.search_space.space import SearchSpace
from convscout.services.config.study_config import StudyConfig
from convscout.services.executors.placement import (
    MOST_PER_GPU,
    SLACK,
    WORKER_BYTES,
    Machine,
    Placement,
    can_unite,
    check_environment,
    place,
    place_on,
    predict_bytes,
    trials_of,
    trials_that_fit,
)
from convscout.services.system.resources import num_cores
from convscout.trials.data.batches import TrainingData
from tests.services.search.test_auto_config import data

GIB = 2**30
IMAGES = data(100, 32)


def study(**options: Any) -> StudyConfig:
    return StudyConfig.from_options({"name": "s", "data": "digits", "families": "lenet", **options})


def predicted(config: StudyConfig, images: TrainingData = IMAGES, free_bytes: int = 80 * GIB) -> int:
    return predict_bytes(config, images, free_bytes)


def machine(gpus: int = 1, free_gib: float = 80, cores: int = 64) -> Machine:
    return Machine(gpus=gpus, free_bytes=round(free_gib * GIB), cores=cores)


def placed(on: Machine, **options: Any) -> tuple[int, int]:
    """Workers in all, and the most on a GPU."""
    placement = place_on(on, study(**options), IMAGES)
    assert placement.gpus == on.gpus
    return placement.workers, placement.per_gpu


@pytest.mark.parametrize(
    ("need_gib", "free_gib", "gpus", "cores", "trials"),
    [
        (21, 80, 1, 64, 3),
        (20, 80, 1, 64, 4),
        (81, 80, 1, 64, 1),  # it may yet train in parts of its batches
        (2, 80, 1, 64, MOST_PER_GPU),
        (2, 80, 1, 3, 3),
        (2, 80, 2, 7, 3),
        (2, 80, 8, 4, 1),
    ],
)
def test_memory_cores_and_a_most_bound_the_trials_of_a_gpu(
    need_gib: int, free_gib: int, gpus: int, cores: int, trials: int
) -> None:
    assert trials_that_fit(need_gib * GIB, machine(gpus, free_gib, cores)) == trials


def test_the_study_decides_where_the_person_does_not() -> None:
    need_gib = predicted(study()) / GIB
    placement = place_on(machine(2, 3.5 * need_gib), study(), IMAGES)
    assert (placement.workers, placement.per_gpu) == (6, 3)
    assert placement.reason.startswith("3 trials at a time on each of 2 GPUs: a trial takes up to ")
    assert "--gpus-per-trial" in placement.reason
    alone = place_on(machine(1, need_gib), study(), IMAGES)
    assert alone.reason.startswith("1 trial at a time on the GPU")


@pytest.mark.parametrize(
    ("options", "gpus", "cores", "expected"),
    [
        (dict(workers=3), 1, 64, (3, 3)),
        (dict(workers=3), 2, 64, (3, 2)),
        (dict(workers=3), 4, 64, (3, 1)),
        (dict(workers=3), 1, 2, (3, 3)),
        (dict(gpus_per_trial=0.25), 2, 64, (8, 4)),
        (dict(gpus_per_trial="1/3"), 1, 64, (3, 3)),
        (dict(gpus_per_trial=0.25), 2, 5, (5, 4)),
        (dict(gpus_per_trial=0.5, workers=3), 2, 64, (3, 2)),
        (dict(gpus_per_trial=0.5, workers=9), 2, 64, (4, 2)),  # resumed where there are fewer GPUs
        (dict(executor="in-process", workers=4), 1, 64, (4, 4)),
        (dict(executor="in-process", deterministic=True), 1, 64, (1, 1)),
        (dict(deterministic=True, workers=2), 1, 64, (2, 2)),
    ],
)
def test_the_person_decides(
    options: dict[str, Any], gpus: int, cores: int, expected: tuple[int, int]
) -> None:
    assert placed(machine(gpus, cores=cores), **options) == expected


def test_with_fewer_cores_than_gpus_there_are_no_more_workers_than_cores() -> None:
    assert placed(machine(8, cores=4)) == (4, 1)


@pytest.mark.parametrize("per_gpu", range(1, 101))
def test_the_shares_that_ray_is_asked_for_fit_on_a_gpu(per_gpu: int) -> None:
    share = Placement(workers=per_gpu, gpus=1, per_gpu=per_gpu).gpu_share
    units = round(share * 10_000)  # Ray counts in ten-thousandths
    assert units / 10_000 == share
    assert units * per_gpu <= 10_000 < units * (per_gpu + 1)


@pytest.mark.parametrize("count", range(1, 101))
def test_a_share_that_was_rounded_means_what_it_was_meant_to(count: int) -> None:
    assert trials_of(1 / count) == count


def test_without_a_gpu_no_share_of_one_is_asked_for() -> None:
    assert Placement(workers=2).gpu_share == 0


def test_the_prediction_covers_the_portfolio_and_what_is_sampled() -> None:
    (candidate,) = SearchSpace(image=IMAGES.image, families=("resnet",)).portfolio()
    proven = measure(*candidate, IMAGES.image).peak_train_bytes
    few = predicted(study(families="resnet", space={"resnet.width": 16, "recipe.batch_size": 128}))
    many = predicted(study(families="resnet"))
    assert proven + WORKER_BYTES < many
    assert few < many


def test_the_prediction_counts_images_that_lie_on_the_gpu() -> None:
    more = data(10_000, 32)
    size = 10_000 * 32 * 32 * 3
    extra = predicted(study(), more) - predicted(study())
    assert extra == 2 * (size - IMAGES.train.images.nbytes)
    streamed = predicted(study(), more, free_bytes=2 * size)
    assert streamed == predicted(study()) - 2 * IMAGES.train.images.nbytes


def test_no_trial_takes_more_than_its_limit_allows() -> None:
    limit = 200 * 2**20
    bound = math.ceil(SLACK * limit) + IMAGES.train.images.nbytes * 2 + WORKER_BYTES
    assert predicted(study(families="wide_resnet", max_memory=limit)) <= bound
    assert predicted(study(families="wide_resnet")) > bound


def test_on_a_cpu_each_worker_has_a_core_and_in_process_there_is_one() -> None:
    assert place(study(device="cpu"), IMAGES) == Placement(workers=num_cores())
    assert place(study(device="cpu", workers=7), IMAGES) == Placement(workers=7, threads=1)
    assert place(study(device="cpu", workers=7, executor="in-process"), IMAGES) == Placement(
        workers=1, threads=num_cores()
    )


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (dict(gpus_per_trial=0.5), "resources.gpus_per_trial"),
        (dict(executor="in-process", workers=2), "resources.workers"),
    ],
)
def test_what_a_cpu_cannot_do_is_refused_before_anything_is_written(
    options: dict[str, Any], field: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        check_environment(study(device="cpu", **options))
    (problem,) = raised.value.problems
    assert problem.field == field and "must be" in problem.rule


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (dict(workers=5, gpus_per_trial=0.5), "must be at most 4 with --gpus-per-trial 0.5 on 2 GPUs"),
        (dict(workers=2, executor="in-process", deterministic=True), "must be 1 with --executor in-process"),
        (dict(workers=4, gpus_per_trial=0.5), None),
        (dict(workers=2, executor="in-process"), None),
        (dict(workers=2, deterministic=True), None),
    ],
)
def test_what_two_gpus_cannot_do_is_refused(
    options: dict[str, Any], told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    if told is None:
        check_environment(study(**options))
        return
    with pytest.raises(ConfigError, match=told):
        check_environment(study(**options))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_is_looked_at() -> None:
    here = Machine.here()
    assert here.gpus == torch.cuda.device_count()
    assert 0 < here.free_bytes <= torch.cuda.get_device_properties(0).total_memory
    assert place(study(device="cuda"), IMAGES).workers >= 1


@pytest.mark.parametrize(
    ("cores", "trials", "expected"),
    [
        (2, 0.6, (1, 2)),
        (2, 1.9, (1, 2)),
        (2, 2.0, (2, 1)),
        (8, 3.5, (3, 2)),
        (8, 1e9, (8, 1)),
        (1, 0.1, (1, 1)),
    ],
)
def test_cores_unite_where_there_is_no_time_for_a_trial_on_each(
    cores: int, trials: float, expected: tuple[int, int]
) -> None:
    united = Placement(workers=cores).united(trials)
    assert (united.workers, united.threads) == expected
    assert bool(united.reason) == (united.workers < cores)


def test_cores_that_a_person_divided_stay_so() -> None:
    assert can_unite(study(device="cpu"), None)
    assert not can_unite(study(device="cpu", workers=2), None)
    assert not can_unite(study(device="cpu", threads=1), None)
    assert not can_unite(study(device="cpu"), machine(0, cores=8))
