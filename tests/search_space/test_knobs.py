"""Knobs and configs: what is legal, how a study narrows it, and that every fault is told at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest

from convscout.search_space.architecture import families
from convscout.search_space.augmentation import augmentations
from convscout.search_space.configurable import Configurable
from convscout.search_space.errors import ConfigError
from convscout.search_space.knobs import Choice, Fixed, Integer, Knob, Override, Real
from convscout.search_space.optimizer import optimizers
from convscout.search_space.recipe import TrainingRecipe

CONFIGS = [entry for registry in (families, optimizers, augmentations) for _, entry in registry.items()]
CONFIGS.append(TrainingRecipe)
INTEGER = Integer(default=32, low=16, high=64, minimum=1, maximum=100, log=True, help="")
REAL = Real(default=0.1, low=0.0, high=0.3, minimum=0.0, maximum=0.9, log=False, help="")
CHOICE = Choice(default="a", choices=("a", "b"), legal=("a", "b", "c"), help="")


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_every_knob_is_declared_soundly(config: type[Configurable]) -> None:
    for field, knob in config.knobs().items():
        assert knob.broken_rule(knob.default) is None, field
        assert knob.help, field
        assert knob.range_text(), field
        assert knob.scale in ("linear", "logarithmic", "categorical"), field
        if isinstance(knob, Integer | Real):
            assert knob.low <= knob.default <= knob.high or knob.when, field
            assert knob.minimum <= knob.low <= knob.high <= knob.maximum, field
            if isinstance(knob, Integer):
                assert (knob.high - knob.low) % knob.step == (knob.default - knob.low) % knob.step == 0, field
        elif isinstance(knob, Choice):
            assert knob.default in knob.choices, field
            assert set(knob.choices) <= set(knob.legal), field
        assert set(knob.when) <= set(list(config.knobs())[: list(config.knobs()).index(field)]), field


@pytest.mark.parametrize(
    "knob", [INTEGER, replace(INTEGER, step=16, log=False), CHOICE, CHOICE.narrowed("c")]
)
def test_what_is_sampled_is_what_is_counted(knob: Knob) -> None:
    candidates = [*range(-1, 102), "a", "b", "c", None]
    assert sum(knob.samples(value) for value in candidates) == knob.count()


def test_a_continuous_range_has_no_countable_values() -> None:
    assert not REAL.samples(0.1)
    assert replace(REAL, low=0.3).samples(0.3)


def test_what_is_legal_and_not_searched_is_told() -> None:
    assert INTEGER.unsearched_text() == "1 … 100"
    assert replace(INTEGER, maximum=2**31).unsearched_text() == "1 and more"
    assert replace(INTEGER, low=1, high=100).unsearched_text() == ""
    assert CHOICE.unsearched_text() == "c"
    assert CHOICE.narrowed("c").unsearched_text() == ""


def test_a_condition_reads_well() -> None:
    conditions = {"kind": ("a", "b"), "deep": (True,)}
    assert replace(CHOICE, when=conditions).condition_text() == "kind = a, b and deep = True"
    assert CHOICE.condition_text() == ""


@pytest.mark.parametrize("value", [0, 101, 3.5, True, "32", None])
def test_integer_rule(value: object) -> None:
    assert INTEGER.broken_rule(value) == "must be a whole number in [1, 100]"


@pytest.mark.parametrize("value", [-0.1, 0.91, math.nan, math.inf, True, "0.1"])
def test_real_rule(value: object) -> None:
    assert REAL.broken_rule(value) == "must be a number in [0, 0.9]"


@pytest.mark.parametrize("value", ["d", None, 1])
def test_choice_rule(value: object) -> None:
    assert CHOICE.broken_rule(value) == "must be one of a, b, c"


def test_true_is_not_one() -> None:
    knob = Choice(default=1, choices=(1, 2), legal=(1, 2), help="")
    assert knob.broken_rule(1) is None
    assert knob.broken_rule(True) is not None


def test_a_config_tells_all_its_faults_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        families.get("resnet")(width=0, block="wide", head_dropout=math.nan)
    assert {problem.field for problem in caught.value.problems} == {
        "resnet.width",
        "resnet.block",
        "resnet.head_dropout",
    }
    assert "resnet.width: must be a whole number in [1, 2.14748e+09], but got 0" in caught.value.message


def test_fields_that_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match=r"vgg\.depth5: must be 0 while depth4 is 0.* got 2"):
        families.get("vgg")(depth4=0, depth5=2)


def test_unknown_json_fields_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"sgd\.momentun: must be one of .*momentum"):
        optimizers.get("sgd").from_dict({"name": "sgd", "momentun": 0.9})


def test_narrowing_to_a_range_moves_the_default_in() -> None:
    knob = INTEGER.narrowed({"high": 24})
    assert isinstance(knob, Integer)
    assert (knob.low, knob.high, knob.default, knob.log) == (16, 24, 24, True)
    assert knob.count() == 9


def test_a_range_may_be_as_wide_as_is_legal() -> None:
    knob = REAL.narrowed({"high": 0.9})
    assert isinstance(knob, Real)
    assert knob.high == 0.9


def test_narrowing_to_choices_and_to_one_value() -> None:
    choices = INTEGER.narrowed({"choices": [8, 48]})
    assert isinstance(choices, Choice)
    assert (choices.choices, choices.default) == ((8, 48), 8)
    fixed = CHOICE.narrowed("c")
    assert isinstance(fixed, Fixed)
    assert (fixed.default, fixed.count(), fixed.range_text()) == ("c", 1, "= c")


@pytest.mark.parametrize(
    ("override", "rule"),
    [
        ({"low": 0}, r"whole number in \[1, 100\]"),
        ({"high": 64.5}, "whole number"),
        ({"low": 60, "high": 50}, "low <= high"),
        ({"step": 4}, "low, high, log or choices"),
        ({"choices": []}, "at least one"),
        ({"choices": [8, 8]}, "different from each other"),
        ({"choices": [8, 1000]}, "each of choices must be a whole number"),
        ({"choices": 8}, "must be a list"),
        ({"log": "yes"}, "log must be true or false"),
        ({"choices": [8], "low": 4}, "choices alone"),
        ("many", "whole number"),
        (1000, "whole number"),
    ],
)
def test_bad_overrides_of_a_number(override: Override, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        INTEGER.narrowed(override)


def test_a_range_in_steps_keeps_to_them() -> None:
    knob = replace(INTEGER, step=8, log=False)
    narrowed = knob.narrowed({"low": 8, "high": 24})
    assert isinstance(narrowed, Integer)
    assert (narrowed.low, narrowed.high, narrowed.default, narrowed.count()) == (8, 24, 24, 3)
    for override in ({"low": 20}, {"high": 63}):
        with pytest.raises(ValueError, match="whole steps of 8 from 16"):
            knob.narrowed(override)
    with pytest.raises(ValueError, match="log must be false, as this range has steps of 8"):
        knob.narrowed({"log": True})


@pytest.mark.parametrize("override", ["d", {"low": 1}, {"choices": ["a", "d"]}, {}])
def test_bad_overrides_of_a_choice(override: Override) -> None:
    with pytest.raises(ValueError, match="must be"):
        CHOICE.narrowed(override)


def test_a_logarithmic_range_starts_above_zero() -> None:
    with pytest.raises(ValueError, match="low > 0"):
        REAL.narrowed({"log": True})


@pytest.mark.parametrize(
    ("knob", "value", "nearest"),
    [
        (INTEGER, 8, 16), (INTEGER, 20, 20), (INTEGER, 99, 64), (REAL, 0.5, 0.3), (CHOICE, "b", "b"),
        (CHOICE, "c", "a"), (INTEGER.narrowed(40), 20, 40),
        (Choice(default=128, choices=(64, 128, 256), legal=(64, 128, 256), help=""), 512, 256),
    ],
)  # fmt: skip
def test_a_value_is_moved_into_the_range(knob: Knob, value: Override, nearest: Override) -> None:
    assert not isinstance(value, Mapping)
    assert knob.nearest(value) == nearest
