"""Pruners decide by the curves alone: by hand-made ones, by any, and the same before and after a resume."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convscout.search_space.space import SearchSpace
from convscout.services.config.home import Home
from convscout.services.config.study_ref import StudyRef
from convscout.services.ledger.ledger import Ledger
from convscout.services.plugins import pruners, samplers
from convscout.services.pruners.asha import COMPETITORS, REDUCTION
from convscout.services.pruners.curves import Curve, Curves
from convscout.services.pruners.percentile import STARTUP_TRIALS
from convscout.services.pruners.wilcoxon import FEWEST_PAIRS
from convscout.services.samplers.base import SamplingTask
from convscout.trials.config import TrialConfig, TrialState
from convscout.trials.end_reason import EndReason
from tests.support.records import measurement, record
from tests.support.sampled import COST, IMAGE
from tests.support.studies import tiny_config

ALL = pruners.names()
COMPARING = tuple(name for name in ALL if name not in ("none", "patient"))
EPOCHS = 12
MANY = settings(max_examples=60, deadline=None, derandomize=True)
SPACE = SearchSpace(image=IMAGE, families=("lenet",), epochs=9)


def trial(number: int, *values: float, epochs: int = EPOCHS, running: bool | None = None) -> Curve:
    """A trial that has shown ``values``; it runs unless these are all."""
    runs = len(values) < epochs if running is None else running
    return Curve(number=number, family="lenet", epochs=epochs, values=values, running=runs)


def stops(name: str, judged: Curve, others: Sequence[Curve]) -> bool:
    """What the pruner called ``name`` says of one among others."""
    return pruners.get(name)().stops(judged, Curves([*others, judged]).rivals(judged.number))


def stop_epoch(name: str, values: Sequence[float], others: Sequence[Curve]) -> int | None:
    """The epoch at which a trial of such ``values`` is stopped, if it is."""
    number = len(others)
    asked = range(1, len(values))
    return next((n for n in asked if stops(name, trial(number, *values[:n]), others)), None)


def flat(*heights: float, epochs: int = EPOCHS) -> list[Curve]:
    """Trials 0, 1, … that trained to their end, each always as good."""
    return [trial(number, *[height] * epochs, epochs=epochs) for number, height in enumerate(heights)]


def test_there_is_every_pruner() -> None:
    assert ALL == ("asha", "hyperband", "median", "none", "patient", "percentile", "wilcoxon")


def test_asha_keeps_the_better_third_at_each_rung() -> None:
    others = flat(0.1, 0.2, 0.3, 0.4, 0.5)
    assert stop_epoch("asha", [0.39] * EPOCHS, others) == 2  # the third of six
    assert stop_epoch("asha", [0.41] * EPOCHS, others) is None
    assert (
        stop_epoch("asha", [0.4] * EPOCHS, [*others, trial(6, *[0.4] * EPOCHS)]) is None
    )  # equals are no better
    assert stop_epoch("asha", [0.6] + [0.0] * 11, others) is None  # the best epoch so far is what counts


def test_asha_judges_again_at_thrice_the_epochs() -> None:
    overtaken = [trial(number, 0.1, 0.1, 0.1, 0.1, 0.1, 0.5 + number / 10) for number in range(5)]
    assert stop_epoch("asha", [0.2] * EPOCHS, overtaken) == 6


@pytest.mark.parametrize(
    ("epochs", "rungs"), [(2, []), (3, [2]), (5, [2]), (9, [2, 6]), (12, [2, 6]), (27, [3, 9]), (40, [5, 15])]
)
def test_rungs_are_a_ninth_and_a_third_of_a_trial_but_not_its_first_epoch(
    epochs: int, rungs: list[int]
) -> None:
    better = flat(0.5, 0.6, 0.7, 0.8, epochs=epochs)
    judged = [
        epoch for epoch in range(1, epochs) if stops("asha", trial(4, *[0.1] * epoch, epochs=epochs), better)
    ]
    assert judged == rungs


def test_asha_stops_nobody_before_enough_came_to_the_rung() -> None:
    too_few = flat(*[0.9] * (COMPETITORS - 2))
    not_there_yet = [trial(number, 0.9) for number in range(10, 20)]
    assert stop_epoch("asha", [0.1] * EPOCHS, too_few + not_there_yet) is None
    assert stop_epoch("asha", [0.1] * EPOCHS, flat(*[0.9] * (COMPETITORS - 1))) == 2


def test_a_shorter_trial_meets_the_others_at_their_own_rung() -> None:
    late = [trial(number, 0.1, 0.1, 0.5, *[0.9] * 24, epochs=27) for number in range(5)]
    assert not stops("asha", trial(9, 0.1, 0.6, epochs=9), late)  # at 2 of 9; they are at 3 of 27
    assert stops("asha", trial(9, 0.1, 0.4, epochs=9), late)


def hyperband_stops(number: int, others: Sequence[Curve]) -> int | None:
    """The epoch at which a bad trial of that number is stopped."""
    epochs = (n for n in range(1, EPOCHS) if stops("hyperband", trial(number, *[0.1] * n), others))
    return next(epochs, None)


def test_hyperband_halves_from_the_first_rung_the_second_or_not_at_all() -> None:
    better = flat(*[0.9] * 68)
    ends = [hyperband_stops(number, better[17:]) for number in range(17)]
    assert [ends.count(epoch) for epoch in (2, 6, None)] == [9, 5, 3]
    assert len(set(ends[:4])) > 1  # neighbours are dealt to different brackets


def test_hyperbands_brackets_do_not_mix() -> None:
    better = flat(*[0.9] * 68)
    own, *kin = [number for number in range(68) if hyperband_stops(number, better[:number]) == 6][-7:]
    foreign = [
        each for each in better if each.number not in kin and hyperband_stops(each.number, better) != 6
    ]
    assert hyperband_stops(own, foreign) is None
    assert hyperband_stops(own, [*foreign, *(better[number] for number in kin)]) == 6


@pytest.mark.parametrize(("name", "height"), [("median", 0.3), ("percentile", 0.2)])
def test_the_median_and_the_percentile_are_bars_after_a_quarter(name: str, height: float) -> None:
    others = flat(0.1, 0.2, 0.3, 0.4, 0.5)
    assert stop_epoch(name, [height - 0.01] * EPOCHS, others) == EPOCHS // 4 + 1
    assert stop_epoch(name, [height] * EPOCHS, others) is None
    assert stop_epoch(name, [0.0] * EPOCHS, others[: STARTUP_TRIALS - 1]) is None


def test_a_stopped_trial_stays_below_the_median_and_a_running_one_is_not_there_yet() -> None:
    survivors = flat(0.5, 0.6, 0.7, 0.8, 0.9)
    stopped = [trial(number, 0.1, running=False) for number in range(5, 12)]
    assert stop_epoch("median", [0.4] * EPOCHS, survivors + stopped) is None
    running = [trial(number, 0.1) for number in range(5, 12)]
    assert stop_epoch("median", [0.4] * EPOCHS, survivors + running) == 4


def test_wilcoxon_stops_who_is_behind_the_best_epoch_by_epoch() -> None:
    best = trial(0, *np.linspace(0.3, 0.9, EPOCHS))
    behind = [float(value) - 0.05 for value in best.values]
    assert stop_epoch("wilcoxon", behind, [best, *flat(0.1, 0.2)[1:]]) == FEWEST_PAIRS
    swinging = [value + (0.1 if epoch % 2 else -0.08) for epoch, value in enumerate(best.values)]
    assert stop_epoch("wilcoxon", swinging, [best]) is None
    assert stop_epoch("wilcoxon", list(best.values), [best]) is None


def test_wilcoxon_compares_with_what_became_the_best() -> None:
    slow = trial(0, *[0.1] * 8, 0.9, 0.9, 0.9, 0.9)
    fast = trial(1, *[0.5] * EPOCHS)
    assert stop_epoch("wilcoxon", [0.3] * 8, [slow, fast]) is None  # ahead of where the best was


def test_wilcoxons_probability_is_that_of_scipy() -> None:
    from scipy.stats import wilcoxon

    from convscout.services.pruners.wilcoxon import _chance_of_as_low

    for seed in range(20):
        differences = np.random.default_rng(seed).normal(-0.3, 1, 6 + seed)
        expected = wilcoxon(differences, alternative="less", method="exact").pvalue
        assert _chance_of_as_low(differences) == pytest.approx(expected, rel=1e-9)
    tied = np.array(
        [-1.0, -1.0, 1.0, -2.0, 0.0]
    )  # ranks 2, 2, 2, 4 of which 2 is positive: 4 of 16 have as little
    ways = [sum(signs) for signs in itertools.product(*[(0, rank) for rank in (2, 2, 2, 4)])]
    assert _chance_of_as_low(tied) == sum(total <= 2 for total in ways) / 16


def test_patient_stops_who_stands_still_whatever_the_others_do() -> None:
    rising = [0.1 * epoch for epoch in range(EPOCHS)]
    still = [0.1, 0.5, 0.5, 0.5, 0.5005] + [0.5] * 7  # a twentieth of a point is no progress
    assert stop_epoch("patient", rising, []) is None
    assert stop_epoch("patient", still, []) == 6  # a third of its epochs after the second
    assert stop_epoch("patient", still, flat(0.1, 0.2)) == 6


# properties of every pruner

VALUES = st.integers(0, 20).map(lambda value: value / 20)


@st.composite
def fields(draw: st.DrawFn, *, least: int = 1, mixed: bool = False) -> list[Curve]:
    """Trials of which the first is judged: it runs, and has trained ``least`` epochs or more."""
    curves = []
    for number in range(draw(st.integers(2, 14))):
        epochs = draw(st.sampled_from([4, 9, 12, 20])) if mixed else 9
        few = least if number == 0 else 1
        values = draw(st.lists(VALUES, min_size=few, max_size=epochs - (number == 0)))
        runs = len(values) < epochs and (number == 0 or draw(st.booleans()))
        curves.append(trial(number, *values, epochs=epochs, running=runs))
    return curves


@pytest.mark.parametrize("name", ALL)
@MANY
@given(field=fields(), order=st.randoms(use_true_random=False))
def test_the_order_of_the_others_and_how_they_came_about_change_nothing(
    name: str, field: list[Curve], order: object
) -> None:
    judged, *others = field
    shuffled = list(others)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    grown = Curves()
    for curve in shuffled:  # an epoch at a time
        for epoch in range(len(curve.values) + 1):
            grown.put(trial(curve.number, *curve.values[:epoch], epochs=curve.epochs))
        grown.put(curve)
    grown.put(judged)
    assert pruners.get(name)().stops(judged, grown.rivals(0)) == stops(name, judged, others)


@pytest.mark.parametrize("name", COMPARING)
@MANY
@given(field=fields())
def test_the_best_so_far_is_never_stopped(name: str, field: list[Curve]) -> None:
    judged, *others = field
    highest = max([judged.best, *(max(other.values[: len(judged.values)]) for other in others)])
    best = trial(0, *judged.values[:-1], highest, epochs=judged.epochs)
    assert not stops(name, best, others)


@pytest.mark.parametrize("name", COMPARING)
@MANY
@given(field=fields(mixed=True))
def test_nobody_is_stopped_without_rivals_or_in_the_first_epoch(name: str, field: list[Curve]) -> None:
    judged, *others = field
    assert not stops(name, judged, [])
    assert not stops(name, trial(0, judged.values[0], epochs=judged.epochs), others)


@MANY
@given(field=fields(mixed=True))
def test_none_stops_nobody(field: list[Curve]) -> None:
    assert not stops("none", field[0], field[1:])


@MANY
@given(field=fields(mixed=True))
def test_nobody_is_stopped_before_the_first_rung(field: list[Curve]) -> None:
    judged, *others = field
    early = [n for n in range(1, judged.epochs) if Fraction(n, judged.epochs) < Fraction(1, REDUCTION**2)]
    for name in ("asha", "hyperband", "median", "percentile"):
        assert not any(stops(name, trial(0, *[0.0] * n, epochs=judged.epochs), others) for n in early)


# through the ledger


def _commit(ledger: Ledger) -> None:
    proposal = ledger.propose(SPACE, samplers.get("random")(SamplingTask(space=SPACE)).fresh)
    architecture, recipe = proposal.candidate
    config = TrialConfig(
        number=proposal.number, attempt=1, dataset="f" * 64, architecture=architecture, recipe=recipe, seed=7
    )
    ledger.commit(config, COST)


def test_failed_trials_are_nobodys_rivals_and_the_objective_turns_the_sign() -> None:
    accurate = record(3, 0.4, 0.5, state=TrialState.STOPPED)
    assert accurate.curve == Curve(
        number=3, family="lenet", epochs=10, values=(0.4, 0.5), running=False, phase="contender"
    )
    assert record(4, 0.9, state=TrialState.FAILED).curve is None
    assert record(5, 0.9, state=TrialState.REJECTED).curve is None
    assert accurate.config
    likely = replace(accurate, plan={**accurate.plan, "objective": "nll"}).curve
    assert likely is not None and likely.values == (-1.0, -1.0)
    assert record(6).curve is not None and record(6).state is TrialState.RUNNING


def test_decisions_are_the_same_after_every_resume(tmp_path: Path) -> None:
    """Of a study that runs through, and of one whose process ends after every epoch."""
    homes = {name: Home(tmp_path / name) for name in ("straight", "broken")}
    ledgers = {name: Ledger.create(home, tiny_config(), fingerprint="f" * 64) for name, home in homes.items()}
    rng = np.random.default_rng(0)
    never = pruners.get("none")()
    stopped = dict.fromkeys(ALL, 0)
    for number in range(10):
        for ledger in ledgers.values():
            _commit(ledger)
        for epoch in range(1, 9):
            told = measurement(epoch, float(rng.integers(10, 90)) / 100)
            said = []
            for name, ledger in ledgers.items():
                ledger.report(number, 1, told, never)
                if name == "broken":
                    ledger = ledgers[name] = Ledger.open(StudyRef(homes[name], "tiny"))
                said.append({each: ledger.stops(number, pruners.get(each)()) for each in ALL})
            assert said[0] == said[1]
            for name, stop in said[0].items():
                stopped[name] += stop
        ended = EndReason.ERROR if number == 3 else EndReason.PRUNED
        for ledger in ledgers.values():
            ledger.finish(number, 1, ended, "done")
    assert all(stopped[name] for name in ALL if name not in ("none", "wilcoxon", "patient"))
