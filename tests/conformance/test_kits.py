"""What convscout brings itself passes the kits for authors of plug-ins, and what breaks a rule does not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from convscout.search_space.architecture import families
from convscout.search_space.augmentation import augmentations
from convscout.search_space.augmentations.none import NoAugmentation
from convscout.search_space.optimizer import optimizers
from convscout.services.ensembles.library import Library
from convscout.services.plugins import pruners, samplers, selectors
from convscout.services.pruners.curves import Curve, Rivals
from convscout.testing import (
    check_augmentation,
    check_family,
    check_optimizer,
    check_pruner,
    check_sampler,
    check_selector,
)
from tests.support.sampled import task_of

WITHOUT_WEIGHTS = [name for name in families.names() if name != "pretrained"]  # those are downloaded


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_families_conform(name: str) -> None:
    check_family(families.get(name))


@pytest.mark.parametrize("name", optimizers.names())
def test_optimizers_conform(name: str) -> None:
    check_optimizer(optimizers.get(name))


@pytest.mark.parametrize("name", augmentations.names())
def test_augmentations_conform(name: str) -> None:
    check_augmentation(augmentations.get(name))


@pytest.mark.parametrize("name", pruners.names())
def test_pruners_conform(name: str) -> None:
    check_pruner(pruners.get(name))


@pytest.mark.parametrize("name", samplers.names())
def test_samplers_conform(name: str) -> None:
    task = task_of(name)
    check_sampler(samplers.get(name), task.space, task.num_objectives)


@pytest.mark.parametrize("name", selectors.names())
def test_selectors_conform(name: str) -> None:
    check_selector(selectors.get(name))


class Remembering:
    """Stops whatever comes after the first that it saw."""

    def __init__(self) -> None:
        self.first: int | None = None

    def stops(self, trial: Curve, rivals: Rivals) -> bool:
        self.first = trial.number if self.first is None else self.first
        return trial.number != self.first


def test_a_pruner_that_remembers_is_found_out() -> None:
    with pytest.raises(AssertionError, match="in another order"):
        check_pruner(Remembering)


class Spilling(NoAugmentation):
    """Writes to the images that it is given."""

    def apply(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return images.mul_(2), targets


def test_an_augmentation_that_writes_to_its_arguments_is_found_out() -> None:
    with pytest.raises(AssertionError, match="writes to its arguments"):
        check_augmentation(Spilling)


def two_halves(library: Library) -> Mapping[int, float]:
    return {0: 0.5, 1: 0.5}


def test_a_selector_that_ignores_the_limits_is_found_out() -> None:
    with pytest.raises(AssertionError, match="beyond the limits"):
        check_selector(two_halves)
