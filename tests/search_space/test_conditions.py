"""What is told of when a knob is sampled is what is seen of candidates."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from optuna import create_study
from optuna.samplers import RandomSampler

from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.conditions import ALWAYS, conditions
from convscout.search_space.space import SearchSpace

IMAGE = ImageSpec(in_channels=3, image_size=32, num_classes=10, symmetries=("horizontal_flip",))
SEARCHED = tuple(name for name, family in families.items() if family.searched)


def seen(space: SearchSpace, count: int) -> Counter[str]:
    """How many of so many random candidates have each knob."""
    study = create_study(sampler=RandomSampler(seed=0))
    found = Counter[str]()
    for _ in range(count):
        trial = study.ask()
        space.suggest(trial)
        found.update(trial.params.keys())
    return found


@pytest.mark.parametrize("family", SEARCHED)
def test_common_knobs_are_in_every_candidate_and_others_are_not(family: str) -> None:
    space = SearchSpace(image=IMAGE, families=(family,))
    told, found = conditions(space), seen(space, 100)
    assert set(found) <= set(told)
    for name, deciding in told.items():
        assert (found[name] == 100) == (deciding == ALWAYS), name


def test_with_several_families_only_the_recipe_is_common() -> None:
    told = conditions(SearchSpace(image=IMAGE, families=("lenet", "resnet")))
    assert told["family"] == ALWAYS
    assert told["lenet.width"] == {"family"}
    assert told["recipe.batch_size"] == ALWAYS
    assert told["recipe.warmup"] == {"recipe.schedule"}
    assert told["sgd.learning_rate"] == {"recipe.optimizer"}


@pytest.mark.parametrize(
    ("override", "warmup"),
    [
        ("cosine", ALWAYS),
        ({"choices": ["cosine", "linear"]}, ALWAYS),
        ({"choices": ["cosine", "one_cycle"]}, {"recipe.schedule"}),
        ("one_cycle", None),
    ],
)
def test_a_condition_that_is_always_or_never_met_is_none(override: Any, warmup: object) -> None:
    overrides = {"recipe.schedule": override}
    told = conditions(SearchSpace(image=IMAGE, families=("lenet",), overrides=overrides))
    assert told.get("recipe.warmup") == warmup
