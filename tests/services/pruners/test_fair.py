"""Fairness keeps fronts and slow starters from being stopped, whatever the pruner, and nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convscout.services.cli import main
from convscout.services.plugins import pruners
from convscout.services.pruners.base import Pruner
from convscout.services.pruners.curves import Curve, Curves, Rivals
from convscout.services.pruners.fair import Fair
from convscout.services.pruners.patient import Patient

EPOCHS = 12
MANY = settings(max_examples=60, deadline=None, derandomize=True)


@dataclass(frozen=True)
class Merciless:
    """Stops everyone who has a rival."""

    def stops(self, trial: Curve, rivals: Rivals) -> bool:
        return len(rivals) > 0


def trial(number: int, *values: float, family: str = "lenet", costs: tuple[float, ...] = ()) -> Curve:
    """A trial that has shown ``values``."""
    return Curve(
        number=number,
        family=family,
        epochs=EPOCHS,
        values=values,
        costs=costs,
        running=len(values) < EPOCHS,
    )


def stops(
    judged: Curve, others: Sequence[Curve], pruner: Pruner | None = None, *, by_family: bool = True
) -> bool:
    """What a fair pruner says of one trial among others."""
    rivals = Curves([*others, judged]).rivals(judged.number)
    return Fair(pruner or Merciless(), by_family).stops(judged, rivals)


LENETS = [trial(number, *[0.5 + number / 100] * EPOCHS) for number in range(8)]
RESNET = trial(20, 0.1, 0.3, *[0.9] * 10, family="resnet")


def test_who_leads_its_family_is_not_stopped_by_another_family_early_on() -> None:
    for count in (1, 3):  # before a third
        slow = trial(9, *[0.35] * count, family="resnet")
        assert not stops(slow, [*LENETS, trial(20, *RESNET.values[:2], family="resnet")])
        assert stops(slow, LENETS, by_family=False)


def test_after_a_third_of_its_epochs_every_family_competes() -> None:
    assert stops(trial(9, *[0.35] * 4, family="resnet"), LENETS)


def test_who_does_not_lead_its_family_competes_from_the_start() -> None:
    assert stops(trial(9, 0.1, 0.2, family="resnet"), [*LENETS, RESNET])  # by then it had 0.3
    assert not stops(trial(9, 0.1, 0.3, family="resnet"), [*LENETS, RESNET])  # which is not surpassed


def test_a_slow_family_survives_the_first_rung_of_asha_and_not_the_second() -> None:
    slow = trial(9, *[0.4] * EPOCHS, family="resnet")
    asha = pruners.get("asha")()
    ends = {
        by_family: next(
            n
            for n in range(1, EPOCHS)
            if stops(trial(9, *slow.values[:n], family="resnet"), LENETS, asha, by_family=by_family)
        )
        for by_family in (True, False)
    }
    assert ends == {True: 6, False: 2}


def test_who_is_on_the_front_of_value_and_costs_goes_on() -> None:
    large = [trial(number, *[0.8 + number / 100] * EPOCHS, costs=(100.0, 5.0)) for number in range(5)]
    small = trial(9, *[0.1] * 8, costs=(1.0, 5.0))
    assert not stops(small, large)
    assert not stops(trial(9, *[0.1] * 8, costs=(100.0, 4.0)), large)
    assert stops(trial(9, *[0.1] * 8, costs=(100.0, 5.0)), large)
    assert stops(small, [*large, trial(10, *[0.1] * 8, costs=(0.5, 5.0))])  # as good and cheaper
    assert not stops(small, [*large, trial(10, *[0.1] * 8, costs=(1.0, 5.0))])  # equal
    assert not stops(small, [*large, trial(10, *[0.9] * 7, costs=(0.5, 5.0))])  # it has not come so far


def test_the_front_is_that_of_the_same_share_of_the_epochs() -> None:
    later_better = trial(0, *[0.1] * 6, *[0.9] * 6, costs=(1.0,))
    assert not stops(trial(9, *[0.2] * 6, costs=(2.0,)), [later_better])
    assert stops(trial(9, *[0.2] * 7, costs=(2.0,)), [later_better])


def test_who_is_stopped_for_its_own_sake_is_not_kept() -> None:
    best = trial(9, *[0.9] * 8, costs=(1.0,), family="resnet")
    weak = [trial(number, *[0.1] * EPOCHS, costs=(2.0,)) for number in range(3)]
    assert stops(best, weak, Patient())


NUMBERS = st.integers(0, 5).map(float)
FAMILIES = st.sampled_from(["lenet", "resnet", "vgg"])


@st.composite
def fields(draw: st.DrawFn) -> list[Curve]:
    """Trials with two costs, of which the first is judged."""
    return [
        trial(
            number,
            *draw(st.lists(NUMBERS, min_size=1, max_size=EPOCHS - (number == 0))),
            family=draw(FAMILIES),
            costs=(draw(NUMBERS), draw(NUMBERS)),
        )
        for number in range(draw(st.integers(2, 12)))
    ]


@pytest.mark.parametrize("name", pruners.names())
@MANY
@given(field=fields())
def test_fairness_only_ever_keeps(name: str, field: list[Curve]) -> None:
    judged, *others = field
    pruner = pruners.get(name)()
    rivals = Curves(field).rivals(0)
    plain = pruner.stops(judged, rivals)
    fair = stops(judged, others, pruner)
    front_only = stops(judged, others, pruner, by_family=False)
    assert plain >= front_only >= fair


@MANY
@given(field=fields())
def test_of_any_trials_as_far_some_are_on_the_front_and_go_on(field: list[Curve]) -> None:
    as_far = [trial(each.number, *each.values[:1], family=each.family, costs=each.costs) for each in field]
    kept = [
        each
        for each in as_far
        if not stops(each, [other for other in as_far if other is not each], by_family=False)
    ]
    for each in as_far:
        surpassed = any(
            all(a >= b for a, b in zip(other, _point(each), strict=True)) and other != _point(each)
            for other in map(_point, as_far)
        )
        assert (each in kept) != surpassed
    assert kept


def _point(curve: Curve) -> tuple[float, ...]:
    return (curve.best, *(-cost for cost in curve.costs))


def test_an_unknown_fairness_is_refused_with_what_there_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["config", "--data", "digits", "--fair", "famly", "--home", str(tmp_path)])
    assert raised.value.code == 2
    told = capsys.readouterr().err
    assert "study.fair: must be one of family, none (did you mean 'family'?), but got 'famly'" in told
    assert "Traceback" not in told
