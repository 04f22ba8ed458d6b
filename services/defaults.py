"""Defaults: what a study does where its settings leave it open, decided once, when it begins.

How long a trial trains and which families take part depend on the data and on the time, so that a
search of five minutes is not spent on networks that would need an hour. How candidates are proposed depends
on what there is to propose.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
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
MOST_EPOCHS = 40
LEAST_EPOCHS = 4
# A full trial sees about as many images as the square root of those that all trials see together, times this, so
# that what more time or a faster machine brings is shared by more and by longer trials; but some trials must fit.
IMAGES_SEEN = 370
LEAST_FULL_TRIALS = 4
SEARCH_SHARE = 0.85  # of the time; the rest is for reading the images and for the end
USUAL_TIME_S = 1800.0  # taken for granted where a study has no time limit
# How fast a worker trains: rough figures, since they only decide how long trials are and how many families take part.
ACTIVATIONS_PER_S = {"cpu": 7e7, "cuda": 1e10}
MOST_IMAGES_PER_S = {"cpu": 5e3, "cuda": 5e4}  # of small images, where a step's own cost dominates
TRIAL_SHARE = 1 / 2  # of its epochs that an average trial trains; most are stopped early


def settled(
    config: StudyConfig, data: TrainingData, *, workers: int, device: str, sharing: int
) -> tuple[StudyConfig, float]:
    """``config`` with its epochs and families decided, and about how many full trials its budgets have room for.

    ``workers`` train at a time, of which up to ``sharing`` share one ``device``'s computing.
    """
    costs = sorted(_costs(data.image), key=lambda pair: (_over(config, pair[1]), -pair[0].strength))
    image_s = {family: _image_s(cost, device, sharing) for family, cost in costs}
    taking_part = (image_s[each] for each, _ in costs if each.name in (config.families or (each.name,)))
    strongest_s = next(taking_part, 1 / MOST_IMAGES_PER_S[device])
    time_s = USUAL_TIME_S if config.time_s is None else config.time_s
    images_seen = SEARCH_SHARE * workers * time_s / strongest_s
    epochs = config.epochs or default_epochs(len(data.train), images_seen)
    trial_images = epochs * len(data.train)
    costs_s = [(family, TRIAL_SHARE * trial_images * each_s) for family, each_s in image_s.items()]
    chosen = config.families or _families_that_fit(config, costs_s, workers)
    full_trials = min(
        math.inf if config.time_s is None else images_seen / trial_images,
        math.inf if config.epochs_total is None else config.epochs_total / epochs,
        math.inf if config.trials is None else config.trials,
    )
    return replace(config, epochs=epochs, families=chosen), full_trials


def with_sampler(
    config: StudyConfig, space: SearchSpace, full_trials: float = math.inf
) -> tuple[StudyConfig, str]:
    """``config`` with its sampler decided, and what to tell of it. Raises ``ConfigError`` when it does not suit."""
    task = SamplingTask.of(config, space, full_trials)
    name, told = config.sampler, list[str]()
    if name == AUTO:
        name, reason = chosen(task)
        told.append(f"sampler: {name} ({reason}; another with --sampler)")
    told.append(samplers.get(name)(task).notice)
    return replace(config, sampler=name), "; ".join(filter(None, told))


def default_epochs(num_images: int, images_seen: float) -> int:
    """Epochs of a full trial where all trials together can see ``images_seen`` images."""
    trial_images = min(IMAGES_SEEN * math.sqrt(images_seen), images_seen / LEAST_FULL_TRIALS)
    return min(MOST_EPOCHS, max(LEAST_EPOCHS, round(trial_images / num_images)))


def _families_that_fit(
    config: StudyConfig, costs_s: Sequence[tuple[type[ArchitectureConfig], float]], workers: int
) -> tuple[str, ...]:
    """Those whose knobs the study names, and the first of ``costs_s``, as many as there is time to try.

    What follows one that does not fit is left out though it may be cheaper: it is weaker, and the time is worth more
    to the strong ones.
    """
    named = {knob.partition(".")[0] for knob in config.space}
    left_s = math.inf if config.time_s is None else PORTFOLIO_SHARE * workers * config.time_s
    most = math.inf if config.trials is None else config.trials // 2
    chosen: list[str] = []
    for family, cost_s in costs_s:
        left_s -= cost_s
        if len(chosen) < LEAST_FAMILIES or (left_s >= 0 and len(chosen) < most):
            chosen.append(family.name)
    return tuple(sorted({*chosen, *(family.name for family, _ in costs_s if family.name in named)}))


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
