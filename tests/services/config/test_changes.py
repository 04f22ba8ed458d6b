"""A study that has begun can be given more, and nothing that would make its trials incomparable."""

from __future__ import annotations

import pytest

from convscout.search_space.errors import ConfigError
from convscout.services.config.changes import changed_fields, extend
from tests.support.studies import tiny_config


def test_a_plus_adds_to_what_was_granted() -> None:
    config = tiny_config(trials=10, time="10m", epochs_total=100)
    changed = extend(config, {"trials": "+50", "time_s": "+1h", "epochs_total": "+1k", "epochs": "30"})
    assert (changed.trials, changed.time_s, changed.epochs_total, changed.epochs) == (60, 4200.0, 1100, 30)
    assert set(changed_fields(config, changed)) == {"trials", "time_s", "epochs_total", "epochs"}


def test_a_plus_adds_to_what_was_used_where_less_was_granted() -> None:
    config = tiny_config(trials=1, epochs_total=10, time="1s")
    used = {"trials": 2, "epochs_total": 7, "time_s": 100}
    changed = extend(config, {"trials": "+1", "epochs_total": "+5", "time_s": "+10s"}, used)
    assert (changed.trials, changed.epochs_total, changed.time_s) == (3, 15, 110)
    assert extend(config, {"trials": "4"}, used).trials == 4


def test_families_and_knobs_are_added_one_by_one() -> None:
    config = tiny_config(families=("lenet",))
    changed = extend(
        config, {"families": "+vgg,lenet", "space": {"lenet.depth": {"low": 2, "high": 3}, "lenet.width": 8}}
    )
    assert changed.families == ("lenet", "vgg")
    assert changed.space == {**config.space, "lenet.depth": {"low": 2, "high": 3}, "lenet.width": 8}


@pytest.mark.parametrize(
    ("changes", "field", "rule"),
    [
        ({"seed": 3}, "study.seed", "must stay 0, with which the study began"),
        ({"objective": "nll"}, "study.objective", "must stay accuracy"),
        ({"share": 0.5}, "data.share", "must stay None, with which the study began"),
        ({"epochs_total": "+5"}, "budget.epochs_total", "has no bound to add to; give a value without +"),
        ({"trials": "+x"}, "budget.trials", "must be a whole number"),
        ({"sampler": "+tpe"}, "study.sampler", "is nothing that can be added to; give a value without +"),
        ({"until_converged": "+1"}, "budget.until_converged", "must be true or false"),
        ({"trails": 5}, "trails", "is not a setting (did you mean 'trials'?)"),
    ],
)
def test_what_cannot_change_is_refused_by_name(changes: dict[str, object], field: str, rule: str) -> None:
    with pytest.raises(ConfigError) as caught:
        extend(tiny_config(), changes)
    [problem] = caught.value.problems
    assert problem.field == field and rule in problem.rule


def test_settings_that_are_given_again_change_nothing() -> None:
    config = tiny_config()
    assert changed_fields(config, extend(config, {"seed": 0, "data": "digits", "trials": 3})) == {}
