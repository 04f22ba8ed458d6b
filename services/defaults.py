"""Defaults: what a study does where its settings leave it open, decided once, when it begins.

How long a trial trains and which families take part depend on the data and on the time, so that a
search of five minutes is not spent on networks that would need an hour. How candidates are proposed depends
on what there is to propose.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from search_space.architecture import ArchitectureConfig, ImageSpec, families
from search_space.complexity import Complexity, measure
from search_space.errors import LimitExceededError, UnbuildableError
from search_space.recipe import TrainingRecipe
from search_space.space import SearchSpace
from services.config import StudyConfig
from services.rules import AUTO
from services.samplers.auto import chosen
from services.sampling import SamplingTask, samplers
from trials.batches import TrainingData

PORTFOLIO_SHARE = 1 / 3  # of the time, for the first trial of each family
LEAST_FAMILIES = 3
# How fast a worker trains: rough figures, since they only decide how many families take part.
ACTIVATIONS_PER_S = {"cpu": 7e7, "cuda": 1e10}
MOST_IMAGES_PER_S = {"cpu": 5e3, "cuda": 5e4}  # of small images, where a step's own cost dominates
TRIAL_SHARE = 1 / 2  # of its epochs that an average trial trains; most are stopped early


def settled(
    config: StudyConfig, data: TrainingData, *, workers: int, device: str, sharing: int
) -> StudyConfig:
    """``config`` with its epochs and families decided.

    ``workers`` train at a time, of which up to ``sharing`` share one ``device``'s computing.
    """
    epochs = config.epochs or default_epochs(len(data.train), config.time_s)
    chosen = config.families or _families_that_fit(config, data, epochs, workers, device, sharing)
    return replace(config, epochs=epochs, families=chosen)


def with_sampler(config: StudyConfig, space: SearchSpace) -> tuple[StudyConfig, str]:
    """``config`` with its sampler decided, and what to tell of it. Raises ``ConfigError`` when it does not suit."""
    task = SamplingTask.of(config, space)
    name, told = config.sampler, list[str]()
    if name == AUTO:
        name, reason = chosen(task)
        told.append(f"sampler: {name} ({reason}; another with --sampler)")
    told.append(samplers.get(name)(task).notice)
    return replace(config, sampler=name), "; ".join(filter(None, told))


def default_epochs(num_images: int, time_s: float | None) -> int:
    """Epochs of a full trial, 5 to 40: about 400,000 images seen in a search of half an hour.

    With four times the time a trial gets twice as long, so that more and longer trials share what is gained.
    """
    share = 1.0 if time_s is None else min(4.0, max(0.5, math.sqrt(time_s / 1800)))
    return min(40, max(5, round(share * 400_000 / num_images)))


def _families_that_fit(
    config: StudyConfig, data: TrainingData, epochs: int, workers: int, device: str, sharing: int
) -> tuple[str, ...]:
    """Those whose knobs the study names, and of the others, strongest first, as many as there is time to try.

    Before all others come those whose proven configuration keeps the study's limits.
    """
    named = {knob.partition(".")[0] for knob in config.space}
    left_s = math.inf if config.time_s is None else PORTFOLIO_SHARE * workers * config.time_s
    most = math.inf if config.trials is None else config.trials // 2
    chosen: set[str] = set()
    for family, cost in sorted(
        _costs(data.image), key=lambda pair: (_over(config, pair[1]), -pair[0].strength)
    ):
        cost_s = epochs * TRIAL_SHARE * len(data.train) * _image_s(cost, device, sharing)
        fits = cost_s <= left_s and len(chosen) < most
        if fits or family.name in named or len(chosen) < LEAST_FAMILIES:
            chosen.add(family.name)
            left_s -= cost_s
    return tuple(sorted(chosen))


def _costs(image: ImageSpec) -> Iterator[tuple[type[ArchitectureConfig], Complexity]]:
    """The families that can be searched on such images, each with the cost of its proven configuration."""
    recipe = TrainingRecipe.proven_for(image, epochs=1, precision="float32", overrides={})
    for family in map(families.get, families.names()):
        if family.searched:
            with suppress(UnbuildableError):
                yield family, measure(family.proven(), recipe, image)


def _over(config: StudyConfig, cost: Complexity) -> bool:
    try:
        config.limits.check(cost)
    except LimitExceededError:
        return True
    return False


def _image_s(cost: Complexity, device: str, sharing: int) -> float:
    """About how long training on one image takes. Who shares a GPU shares its arithmetic, not a step's own cost."""
    return max(sharing * cost.activations / ACTIVATIONS_PER_S[device], 1 / MOST_IMAGES_PER_S[device])
