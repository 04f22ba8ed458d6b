"""Every candidate of a finite space comes once."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
from optuna.trial import FixedTrial

from convscout.search_space.architecture import ImageSpec
from convscout.search_space.enumeration import every
from convscout.search_space.space import SearchSpace

IMAGE = ImageSpec(in_channels=1, image_size=16, num_classes=10)
PARTS = {"recipe.optimizer": "sgd", "recipe.augmentation": "none", "recipe.distortion": "none"}


def space(families: tuple[str, ...] = ("lenet",), **varied: Any) -> SearchSpace:
    """A space in which only the knobs ``varied`` vary; their dots are spelled ``__``."""
    free = {name.replace("__", "."): override for name, override in varied.items()}
    knobs = SearchSpace(image=IMAGE, families=families, overrides={**PARTS, **free}).knobs()
    fixed = {name: knob.default for name, knob in knobs.items() if name not in {*PARTS, *free}}
    return SearchSpace(image=IMAGE, families=families, overrides={**PARTS, **fixed, **free})


def test_one_candidate_has_nothing_to_choose() -> None:
    assert list(every(space())) == [{}]


def test_all_combinations_come_once_in_a_fixed_order() -> None:
    found = space(lenet__width={"choices": [4, 8]}, recipe__batch_size={"choices": [64, 128, 256]})
    names = "lenet.width", "recipe.batch_size"
    assert [tuple(each[name] for name in names) for each in every(found)] == [
        (4, 64), (4, 128), (4, 256), (8, 64), (8, 128), (8, 256)
    ]  # fmt: skip


def test_whole_numbers_are_counted_in_their_steps() -> None:
    found = space(lenet__width={"low": 4, "high": 7, "log": True})
    assert [each["lenet.width"] for each in every(found)] == [4, 5, 6, 7]


def test_a_conditional_knob_is_there_only_under_its_condition() -> None:
    found = list(
        every(
            space(
                recipe__clipping={"choices": ["none", "norm"]},
                recipe__clip_norm={"choices": [1.0, 2.0]},
            )
        )
    )
    assert found == [
        {"recipe.clipping": "none"},
        {"recipe.clipping": "norm", "recipe.clip_norm": 1.0},
        {"recipe.clipping": "norm", "recipe.clip_norm": 2.0},
    ]


def test_as_many_come_as_the_space_says_and_each_is_a_candidate_of_its_own() -> None:
    found = space(
        ("lenet", "mlp"),
        lenet__width={"choices": [4, 8]},
        mlp__width={"low": 64, "high": 66},
        recipe__clipping={"choices": ["none", "norm"]},
        recipe__clip_norm={"choices": [1.0, 2.0]},
    )
    listed = list(every(found))
    candidates = {found.suggest(FixedTrial(parameters)) for parameters in listed}
    assert len(listed) == len(candidates) == found.size().discrete == 15


def test_a_continuous_knob_has_no_end() -> None:
    with pytest.raises(ValueError, match=r"sgd\.learning_rate is continuous"):
        list(islice(every(space(sgd__learning_rate={"low": 0.1, "high": 0.2})), 3))
