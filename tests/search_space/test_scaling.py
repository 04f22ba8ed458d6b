"""Networks that are scaled down stay of their kind, fit, and are as large as they can be."""

from __future__ import annotations

from functools import cache

import pytest

from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.complexity import Complexity
from convscout.search_space.complexity_meter import measure
from convscout.search_space.scaling import scale
from convscout.search_space.space import Candidate, SearchSpace

IMAGE = ImageSpec(in_channels=3, image_size=32, num_classes=10)
SEARCHED = [name for name, family in families.items() if family.searched]


@cache
def cost(candidate: Candidate) -> Complexity:
    return measure(*candidate, IMAGE)


def space_of(family: str) -> SearchSpace:
    return SearchSpace(image=IMAGE, families=(family,))


@pytest.mark.parametrize("family", SEARCHED)
def test_a_scaled_network_fits_and_is_one_that_the_study_could_have_sampled(family: str) -> None:
    space = space_of(family)
    [proven] = space.portfolio()
    limit = 0.75 * cost(proven).flops
    smaller = scale(space, proven, cost, lambda own: own.flops <= limit)
    assert cost(smaller).flops <= limit
    assert smaller[0].name == family and smaller[1] == proven[1]
    parameters = space.parameters(smaller)
    for name, knob in space.knobs().items():
        if name in parameters and hasattr(knob, "low"):
            assert knob.low <= parameters[name] <= knob.high, name
    assert space.suggest(_Answering(parameters)) == smaller, "the ledger's parameters make the same network"


def test_it_is_the_largest_that_fits_and_its_depth_goes_last() -> None:
    space = space_of("vgg")
    [proven] = space.portfolio()
    smaller = scale(space, proven, cost, lambda own: own.flops <= 0.8 * cost(proven).flops)
    assert 0.7 * cost(proven).flops < cost(smaller).flops
    assert smaller[0].depth2 == proven[0].depth2 and smaller[0].width < proven[0].width


def test_where_nothing_fits_the_answer_is_the_smallest() -> None:
    space = space_of("speednet")
    [proven] = space.portfolio()
    smallest = scale(space, proven, cost, lambda own: False)[0]
    assert (smallest.width1, smallest.width2, smallest.width3) == (16, 32, 64)
    assert (smallest.depth1, smallest.depth2, smallest.depth3) == (0, 0, 0)


def test_what_a_study_pins_stays() -> None:
    space = SearchSpace(image=IMAGE, families=("speednet",), overrides={"speednet.width2": 128})
    [proven] = space.portfolio()
    smaller = scale(space, proven, cost, lambda own: own.flops <= 0.6 * cost(proven).flops)[0]
    assert smaller.width2 == 128 and smaller.width1 < proven[0].width1


class _Answering:
    """A suggester that gives known values."""

    def __init__(self, parameters: dict[str, object]) -> None:
        self._parameters = parameters

    def suggest_int(self, name: str, *bounds: object, **options: object) -> object:
        return self._parameters[name]

    suggest_float = suggest_categorical = suggest_int
