"""Scouts and contenders: who is one, how they are trained, and that a killed search goes on in its phase."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convscout.search_space.errors import ConfigError
from convscout.services.config.study_config import StudyConfig
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.search.phases import (
    FEWEST_FULL_TRIALS,
    Fidelity,
    PhasePlan,
    Phases,
    check_phases,
    next_contender,
)
from convscout.trials.config import TrialPhase, TrialState
from convscout.trials.data.splits import LabelledImages
from convscout.trials.end_reason import EndReason
from tests.support.records import record
from tests.support.simulated_search import Images, Machine, Told, simulate

SCOUT = TrialPhase.SCOUT


def scout(number: int, *accuracies: float, family: str = "lenet", running: bool = False) -> TrialRecord:
    state = TrialState.RUNNING if running else TrialState.COMPLETED
    return record(number, *accuracies, family=family, state=state, phase=SCOUT)


def plan(full_trials: float, **settings: object) -> PhasePlan:
    config = StudyConfig.from_options({"name": "x", "data": "digits", "epochs": 16, **settings})
    return PhasePlan.of(config, num_images=45_000, full_trials=full_trials, training_s=600.0)


# the plan


def test_a_scout_sees_an_eighth_of_what_a_contender_sees() -> None:
    assert Fidelity.of_scouts(16, 45_000) == Fidelity(epochs=8, share=0.25)
    assert Fidelity.of_scouts(40, 1_300) == Fidelity(epochs=5, share=1.0)


def test_a_scout_trains_two_epochs_at_least_and_no_more_than_a_contender() -> None:
    assert Fidelity.of_scouts(4, 1_300) == Fidelity(epochs=2, share=1.0)
    assert Fidelity.of_scouts(1, 1_300).epochs == 1


def test_little_time_has_no_scouts_and_more_time_spends_a_third_on_them() -> None:
    assert plan(FEWEST_FULL_TRIALS - 0.1).fidelity is None
    found = plan(FEWEST_FULL_TRIALS)
    assert (found.scouts, found.scouts_s) == (16 * FEWEST_FULL_TRIALS, 200.0)
    assert found.scout_s == pytest.approx(600 / FEWEST_FULL_TRIALS / 16)


def test_a_search_whose_time_is_open_has_the_scouts_that_are_asked_for() -> None:
    assert plan(math.inf).fidelity is None
    found = plan(math.inf, scouts=12, trials=20)
    assert (found.scouts, found.scouts_s) == (12, math.inf)


@pytest.mark.parametrize("budget", [{"trials": 6}, {"epochs_total": 100}, {"gpu_hours": 1.0}])
def test_what_is_counted_is_not_used_up_by_scouts(budget: dict[str, float]) -> None:
    """Six trials in ten minutes were six scouts, and nothing was trained in full."""
    assert plan(100, time_s=600, **budget).fidelity is None


def test_some_trials_are_left_for_contenders() -> None:
    def config(trials: int) -> StudyConfig:
        return StudyConfig.from_options({"name": "x", "data": "digits", "trials": trials, "scouts": 6})

    check_phases(config(7))
    with pytest.raises(ConfigError) as raised:
        check_phases(config(6))
    [problem] = raised.value.problems
    assert problem.field == "budget.scouts" and problem.value == 6
    assert problem.rule == "must be below budget.trials, which is 6: a scout is a trial, and some are to grow"


def test_a_person_decides() -> None:
    assert plan(100, scouts=0).fidelity is None
    assert plan(1, scouts=7).scouts == 7
    assert plan(100, contenders=3).contenders == 3


def test_the_plan_is_told() -> None:
    assert plan(1).describe(2) == ""
    assert plan(15).describe(2) == (
        "scouts for 1m 40s, of 8 epochs on 25% of the images; then the best of them, trained in full "
        "(others with --scouts and --contenders)"
    )
    assert plan(6, scouts=1, contenders=2).describe(1).startswith("1 scout for 6m 40s, of 8 epochs")
    assert "; then 2 contenders, trained in full" in plan(15, contenders=2).describe(1)


def test_scouting_ends_with_its_time_or_its_number() -> None:
    phases = Phases(plan(6, scouts=2))
    assert phases.scouting
    phases.count(scout(0, 0.5))
    assert phases.scouting
    phases.count(scout(1, running=True))
    assert not phases.scouting, "there are two"
    late = Phases(plan(15))
    late.count(scout(0, *[0.5] * 201))  # a second each
    assert not late.scouting, "they have trained for 200 seconds"


# who grows


def test_the_best_scout_grows_first() -> None:
    scouts = [scout(0, 0.5), scout(1, 0.9), scout(2, 0.7)]
    chosen = next_contender(scouts, set(), 1000)
    assert chosen and chosen.number == 1
    chosen = next_contender(scouts, {1}, 1000)
    assert chosen and chosen.number == 2


def test_of_scouts_that_can_hardly_be_told_apart_another_family_grows_next() -> None:
    scouts = [scout(0, 0.90, family="vgg"), scout(1, 0.895, family="vgg"), scout(2, 0.89)]
    chosen = next_contender(scouts, {0}, 1000)
    assert chosen and chosen.number == 2, "half a point is less than the standard error of 1,000 images"
    chosen = next_contender(scouts, {0}, 100_000)
    assert chosen and chosen.number == 1, "that of 100,000 is smaller"


def test_only_scouts_that_were_judged_grow() -> None:
    failed = record(1, 0.99, state=TrialState.FAILED, phase=SCOUT)
    full = record(2, 0.99, state=TrialState.COMPLETED)
    assert next_contender([scout(0, 0.9, running=True), failed, full], set(), 100) is None


# the images


def test_a_part_of_the_images_is_always_the_same_and_has_of_each_class() -> None:
    labels = np.arange(1000, dtype=np.int64) % 4  # each fourth image is of one class
    images = LabelledImages(images=np.zeros((1000, 2, 2, 1), np.uint8), labels=labels)
    part = images.part(0.25)
    assert np.bincount(part.labels).tolist() == [63, 62, 63, 62] or len(part) == 250
    assert set(np.bincount(part.labels)) <= {62, 63}
    assert (part.labels == images.part(0.25).labels).all()
    assert images.part(1.0) is images


# whole searches, by a simulated clock


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return search(tmp_path_factory.mktemp("home"))


def search(home: Path, **settings: Any) -> Told:
    """One of an hour with time for some five full trials, and forty scouts unless told otherwise."""
    machine = Machine(speed=0.25, workers=2)
    settings = {"scouts": 40, **settings}
    return simulate(home, machine, Images(count=10_000), time_s=3600, epochs=8, **settings)


def ended_before(one: TrialRecord, other: TrialRecord) -> bool:
    assert one.finished_at and other.started_at
    return one.finished_at <= other.started_at


def check(told: Told) -> None:
    """What holds of every search with scouts, whatever happened to it."""
    scouts = {each.number: each for each in told.trials if each.is_scout}
    grown = {each.grown_from: each for each in told.trials if each.grown_from is not None}
    assert scouts and grown
    assert len(grown) == sum(each.grown_from is not None for each in told.trials), "none grows twice"
    for number, each in grown.items():
        assert number is not None and each.number > number
        if each.config and (source := scouts[number].config):
            assert type(each.config.architecture) is type(source.architecture)
            assert each.config.recipe.with_epochs(1) == source.recipe.with_epochs(1)
            assert (each.phase, each.images_share) == (TrialPhase.CONTENDER, 1.0)


def test_a_search_scouts_first_and_then_trains_the_best_in_full(told: Told) -> None:
    check(told)
    phases = [each.is_scout for each in told.trials if each.trained]
    assert phases == sorted(phases, reverse=True), "scouts come first"
    assert sum(phases) >= 20
    contenders = [each for each in told.trials if each.grown_from is not None and each.measurements]
    first = contenders[0]
    known = [each for each in told.trials if each.is_scout and ended_before(each, first)]
    assert first.grown_from == max(known, key=lambda each: each.utility).number
    assert max(told.models, key=lambda each: each.utility) in contenders


def test_scouts_take_a_third_of_the_time_at_most_and_none_is_left(told: Told) -> None:
    share = sum(each.training_s for each in told.trials if each.is_scout) / told.trained_s
    assert 0 < share < 0.4
    assert told.took_s <= 1.03 * 3600
    assert told.trained_s >= 0.9 * told.available_s


def test_what_was_made_smaller_to_be_scouted_grows_again(told: Told) -> None:
    pairs = [
        (told.trials[each.grown_from].complexity, each.complexity)
        for each in told.trials
        if each.grown_from is not None and each.measurements
    ]
    assert any(small and large and small.flops < large.flops for small, large in pairs)


def test_a_person_decides_how_many_there_are(tmp_path: Path) -> None:
    told = search(tmp_path, scouts=5, contenders=2)
    check(told)
    assert sum(each.is_scout for each in told.trials if each.trained) == 5
    assert sum(not each.is_scout for each in told.trials if each.trained) == 2


def test_without_scouts_the_sampler_proposes_full_trials(tmp_path: Path) -> None:
    told = search(tmp_path, scouts=0, most_trials=4)
    assert {each.phase for each in told.trials} == {TrialPhase.CONTENDER}
    assert {each.grown_from for each in told.trials} == {None}


def test_what_comes_when_scouting_is_over_is_told_so(tmp_path: Path) -> None:
    told = search(tmp_path, scouts=1, contenders=1)
    check(told)
    late = [each for each in told.trials if each.reason_code is EndReason.NOT_SCOUTED]
    assert len(late) == 2, "the proven networks of the other two families"
    assert {each.state for each in late} == {TrialState.REJECTED}


def test_the_control_is_trained_in_full_before_all_others(tmp_path: Path) -> None:
    told = search(tmp_path, control=True, scouts=3, contenders=2)
    control, *others = told.trials
    assert control.phase is TrialPhase.CONTROL
    assert control.family == "speednet"
    assert control.images_share == 1.0
    assert TrialPhase.CONTROL not in {each.phase for each in others}
    check(told)


@pytest.mark.parametrize("words", [1, 7, 16, 20, 24, 30, 40])
def test_a_search_that_is_killed_goes_on_in_its_phase(words: int, tmp_path: Path) -> None:
    told = search(tmp_path, scouts=10, contenders=3, killed_after=(words, 5, 5))
    check(told)
    assert not [each for each in told.trials if each.state is TrialState.RUNNING]
