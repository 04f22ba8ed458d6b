"""Sizes: what is counted is what can be sampled, and counting takes no longer for a larger space."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.augmentation import augmentations
from convscout.search_space.configurable import Configurable
from convscout.search_space.knobs import Override, choice, integer, real
from convscout.search_space.size import SpaceSize
from convscout.search_space.space import Candidate, SearchSpace

PHOTOS = ImageSpec(in_channels=3, image_size=32, num_classes=10, symmetries=("horizontal_flip",))


class Walker:
    """A suggester that follows a path of positions among the options, and takes the first where it ends.

    A name that is asked for again gets the same answer, as a trial of Optuna's gives it.
    """

    def __init__(self, path: Sequence[int]) -> None:
        self.taken: list[tuple[int, int]] = []  # position and number of options
        self.continuous = 0
        self._path = path
        self._answers: dict[str, Any] = {}

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        value: int = self._take(name, range(low, high + 1, step))
        return value

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        self.continuous += name not in self._answers
        self._answers[name] = low
        return low

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._take(name, choices)

    def _take(self, name: str, options: Sequence[Any]) -> Any:
        if name not in self._answers:
            position = self._path[len(self.taken)] if len(self.taken) < len(self._path) else 0
            self.taken.append((position, len(options)))
            self._answers[name] = options[position]
        return self._answers[name]


def enumerate_all(suggest: Callable[[Walker], Any]) -> Iterator[tuple[Any, int]]:
    """Everything that ``suggest`` can give, each with its number of continuous knobs."""
    path: list[int] | None = []
    while path is not None:
        walker = Walker(path)
        yield suggest(walker), walker.continuous
        taken = walker.taken
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken.pop()
        path = [position for position, _ in taken] if taken else None
        if path:
            path[-1] += 1


def brute_force(suggest: Callable[[Walker], Any], written: Callable[[Any], Any]) -> SpaceSize:
    found = {json.dumps(written(given)): continuous for given, continuous in enumerate_all(suggest)}
    return SpaceSize(discrete=len(found), continuous=max(found.values()))


def written(candidate: Candidate) -> list[dict[str, Any]]:
    return [part.to_dict() for part in candidate]


@dataclass(frozen=True, kw_only=True)
class Chained(Configurable):
    """Conditions on conditions, on numbers, on several fields, and on a field that was not sampled."""

    name = "chained"

    depth: int = integer(2, low=1, high=5, help="a number that others depend on")
    kind: str = choice("none", ("none", "soft", "hard"), help="a choice that others depend on")
    rate: float = real(0.1, low=0.0, high=0.5, when={"kind": ("soft", "hard")}, help="continuous")
    shape: str = choice("a", ("a", "b", "c"), when={"kind": ("hard",)}, help="depends and is depended on")
    span: int = integer(4, low=1, high=7, step=3, when={"shape": ("a", "b")}, help="two steps down")
    tail: bool = choice(False, (False, True), when={"depth": (2, 4), "kind": ("none", "hard")}, help="on two")
    ends: int = integer(1, low=1, high=4, when={"tail": (True,)}, help="on a flag")
    slope: float = real(1.0, low=1.0, high=2.0, when={"ends": (3, 4)}, help="on the last")
    speed: float = real(0.5, low=0.0, high=1.0, help="continuous and depended on")
    brake: str = choice("x", ("x", "y"), when={"speed": (0.5,)}, help="on a value that chance never hits")


@pytest.mark.parametrize(
    "overrides",
    [
        {"chained.speed": 0.5},
        {"chained.speed": 0.25},
        {"chained.speed": {"choices": [0.25, 0.5]}},
        {"chained.kind": "soft", "chained.shape": "b"},
        {"chained.shape": {"choices": ["c", "b"]}, "chained.rate": {"low": 0.2, "high": 0.2}},
        {"chained.depth": {"low": 3}, "chained.tail": True},
    ],
)
def test_conditions_are_counted_as_they_are_sampled(overrides: dict[str, Override]) -> None:
    overrides = {"chained.speed": 0.125, **overrides}
    counted = Chained.space_size(overrides)
    assert counted == brute_force(lambda walker: Chained.suggest(walker, overrides), Chained.to_dict)
    assert counted.discrete > 10


def test_chance_never_hits_one_value_of_a_continuous_knob() -> None:
    fixed = Chained.space_size({"chained.speed": 0.25})
    assert Chained.space_size() == SpaceSize(discrete=fixed.discrete, continuous=fixed.continuous + 1)


NARROW: dict[str, Override] = {
    "recipe.optimizer": {"choices": ["sgd", "adamw"]},
    "recipe.augmentation": {"choices": ["none", "crop"]},
    "recipe.distortion": {"choices": ["none", "mixup", "cutout"]},
    "recipe.batch_size": 64,
    "recipe.schedule": {"choices": ["cosine", "one_cycle"]},
    "recipe.averaging": "none",
    "recipe.clipping": {"choices": ["none", "norm"]},
    "recipe.loss": {"choices": ["cross_entropy", "focal"]},
}


def narrow_space(kept: tuple[str, ...], overrides: dict[str, Override]) -> SearchSpace:
    """LeNets and ResNets that differ in the knobs ``kept`` alone, with some hundred recipes."""
    families = ("lenet", "resnet")
    knobs = SearchSpace(image=PHOTOS, families=families).knobs()
    pinned: dict[str, Override] = {
        name: knob.default for name, knob in knobs.items() if name.startswith(families) and name not in kept
    }
    return SearchSpace(image=PHOTOS, families=families, overrides={**pinned, **NARROW, **overrides})


def test_a_space_is_as_large_as_what_it_gives() -> None:
    kept = ("resnet.depth1", "resnet.dropout_kind", "resnet.dropout", "lenet.pool", "lenet.growth")
    space = narrow_space(kept, {"lenet.width": {"low": 8, "high": 12}})
    assert space.family_sizes() == {
        "lenet": SpaceSize(discrete=5 * 2, continuous=1),
        "resnet": SpaceSize(discrete=3 * 3, continuous=1),
    }
    assert space.size() == brute_force(space.suggest, written)


def test_a_policy_that_is_both_parts_has_its_knobs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentations.get("cutout"), "parts", ("augmentation", "distortion"))
    both = {
        "recipe.augmentation": {"choices": ["none", "cutout"]},
        "cutout.share": {"choices": [0.25, 0.375, 0.5]},
    }
    space = narrow_space((), both)
    assert space.size() == brute_force(space.suggest, written)


def test_the_whole_space_is_counted_at_once() -> None:
    began = time.process_time()
    space = SearchSpace(image=PHOTOS, families=families.names())
    size = space.size()
    assert time.process_time() - began < 2
    assert size.discrete > 10**12
    assert (
        size.discrete
        == sum(each.discrete for each in space.family_sizes().values()) * space.recipe_size().discrete
    )
    assert size.continuous <= len([knob for knob in space.knobs().values() if knob.count() == float("inf")])
