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
from functools import cache

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.complexity import Complexity
from convscout.search_space.complexity_meter import measure
from convscout.search_space.errors import LimitExceededError, UnbuildableError
from convscout.search_space.recipe import TrainingRecipe
from convscout.search_space.space import SearchSpace
from convscout.services.config.setting_types import AUTO
from convscout.services.config.study_config import StudyConfig
from convscout.services.plugins import samplers
from convscout.services.samplers.auto import choose
from convscout.services.samplers.base import SamplingTask
from convscout.services.search.phases import REDUCTION, count_trials, has_scouts
from convscout.services.search.runtime_model import RuntimeModel
from convscout.trials.data.batches import TrainingData

PORTFOLIO_SHARE = 1 / 3  # of the time, for the first trial of each family
LEAST_FAMILIES = 3
MOST_EPOCHS = 40
LEAST_EPOCHS = 2  # with one there is no curve, and nothing to stop early by
# The epochs of a full trial are about the square root of those of all trials together, times this, so that what more
# time, a faster machine or fewer images bring is shared by more and by longer trials.
ROOT_OF_EPOCHS = 1.75
# But a trial is to see so much at least, if there is time for it at all, and be the only one, on all cores, if there is
# no more: a network that has learned is worth more than several that have not (docs/performance.md).
GOOD_EPOCHS, GOOD_IMAGES = 16, 750_000
LEAST_FULL_TRIALS = 4  # where the time is open
# A schedule ends with the time, so that the last trial may be promised more epochs than are expected to fit.
MARGIN = 1.5
# Images that a network has to see before a larger one is worth its time.
ENOUGH_IMAGES = 230_000
# Where there is too little time for that, a smaller network that sees more images learns more than the proven one:
# the best is to save at both alike, as a network of half the cost and half the images takes a quarter of the time.
# A network of so many multiply-adds did best with as many images as are enough (two cores, ten minutes, CIFAR-10).
ENOUGH_FLOPS = 25e6
MOST_SHRINKING = 8  # times; below that a network hardly learns, however many images it sees
SEARCH_SHARE = 0.85  # of the time; the rest is for reading the images and for the end
END_S = 20.0  # but the end takes as much at least
LEAST_SEARCH_SHARE = 0.25
USUAL_TIME_S = 1800.0  # taken for granted where a study has no time limit
TRIAL_SHARE = 1 / 2  # of its epochs that an average trial trains; most are stopped early


def resolve(
    config: StudyConfig,
    data: TrainingData,
    runtime: RuntimeModel,
    *,
    workers: int,
    sharing: int = 1,
    united: bool = False,
) -> tuple[StudyConfig, float]:
    """``config`` with its epochs and families decided, and about how many trials its budgets have room for.

    ``runtime`` tells how long epochs take, ``workers`` train at a time, of which up to ``sharing`` share one device's
    computing. Where they can be ``united``, there are fewer of them if the time is too short for as many trials.
    """
    num_images = len(data.train)
    costs = _strongest_first(config, data.image)
    image_s = {family: _image_s(cost, runtime, num_images, sharing) for family, cost in costs}
    if not costs:  # the search will say why, of each candidate
        return replace(config, epochs=config.epochs or MOST_EPOCHS), math.inf
    strongest, cost = costs[0]
    time_s = USUAL_TIME_S if config.time_s is None else config.time_s
    images_seen = workers * training_s(time_s) / image_s[strongest]
    fewest = 1 if united else workers
    if config.time_s is None:
        fewest = max(LEAST_FULL_TRIALS, fewest)
    epochs = config.epochs or default_epochs(num_images, images_seen, fewest, cost.flops)
    trial_images = epochs * num_images
    timed_trials = math.inf if config.time_s is None else images_seen / trial_images
    share = TRIAL_SHARE / (REDUCTION if has_scouts(config, timed_trials) else 1)
    costs_s = [(family, share * trial_images * each_s) for family, each_s in image_s.items()]
    chosen = config.families or _families_that_fit(config, costs_s, workers)
    num_trials = min(
        count_trials(config, timed_trials),
        math.inf if config.epochs_total is None else config.epochs_total / epochs,
        math.inf if config.trials is None else config.trials,
    )
    return replace(config, epochs=epochs, families=chosen), num_trials


def with_sampler(
    config: StudyConfig, space: SearchSpace, num_trials: float = math.inf
) -> tuple[StudyConfig, str]:
    """``config`` with its sampler decided, and what to tell of it. Raises ``ConfigError`` when it does not suit."""
    task = SamplingTask.of(config, space, num_trials)
    name, told = config.sampler, list[str]()
    if name == AUTO:
        name, reason = choose(task)
        told.append(f"sampler: {name} ({reason}; another with --sampler)")
    told.append(samplers.get(name)(task).notice)
    return replace(config, sampler=name), "; ".join(filter(None, told))


def training_s(time_s: float) -> float:
    """Seconds of a study of ``time_s`` in which trials train."""
    return max(LEAST_SEARCH_SHARE * time_s, min(SEARCH_SHARE * time_s, time_s - END_S))


def count_full_trials(
    config: StudyConfig, data: TrainingData, runtime: RuntimeModel, *, workers: int, left_s: float
) -> float:
    """About how many trials of all the study's epochs ``workers`` can train in a command of ``left_s`` seconds."""
    costs = _strongest_first(config, data.image)
    epoch_s = runtime.epoch_s(costs[0][1]) if costs else None
    if not epoch_s or math.isinf(left_s):
        return math.inf
    assert config.epochs is not None, "decided when the study began"
    return workers * training_s(left_s) / (config.epochs * epoch_s)


def default_epochs(num_images: int, images_seen: float, fewest: int, flops: float) -> int:
    """Epochs of a full trial where networks of ``flops`` can see ``images_seen`` images, all trials together.

    There are to be as many ``fewest`` trials. One that has all of them to itself may train for a while longer.
    """
    images = min(_usual_images(num_images, images_seen), images_seen / fewest)
    margin = MARGIN if images == images_seen else 1.0
    wanted = margin * images_to_train(images, flops) / num_images
    return min(MOST_EPOCHS, max(LEAST_EPOCHS, round(wanted)))


def usual_trials(num_images: int, images_seen: float) -> float:
    """How many full trials there should be where they can see ``images_seen`` images together."""
    return images_seen / _usual_images(num_images, images_seen)


def _usual_images(num_images: int, images_seen: float) -> float:
    """How many images a full trial sees where all trials see ``images_seen`` together, if they are as many."""
    good = min(GOOD_EPOCHS * num_images, GOOD_IMAGES)
    return min(max(ROOT_OF_EPOCHS * math.sqrt(num_images * images_seen), good), MOST_EPOCHS * num_images)


def images_to_train(fitting: float, flops: float) -> float:
    """How many images a trial should see that has time for as many ``fitting`` ones with a network of ``flops``.

    Where they are more, the network has to be scaled down for them.
    """
    scarcity = min(1.0, fitting * flops / (ENOUGH_IMAGES * ENOUGH_FLOPS))
    return min(MOST_SHRINKING * fitting, max(fitting, ENOUGH_IMAGES * math.sqrt(scarcity)))


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


def _strongest_first(
    config: StudyConfig, image: ImageSpec
) -> list[tuple[type[ArchitectureConfig], Complexity]]:
    """The families that may be searched, each with the cost of its proven network; last, those over a limit."""
    return sorted(_costs(config, image), key=lambda pair: (_over(config, pair[1]), -pair[0].strength))


def _costs(config: StudyConfig, image: ImageSpec) -> Iterator[tuple[type[ArchitectureConfig], Complexity]]:
    """The families that may be searched on such images, each with the cost of its proven configuration."""
    for family in map(families.get, config.families or families.names()):
        if family.searched or config.families:
            with suppress(UnbuildableError):
                yield family, _proven_cost(family, image)


@cache
def _proven_cost(family: type[ArchitectureConfig], image: ImageSpec) -> Complexity:
    """What the proven network of ``family`` costs; a plan asks it when it is made and again when trials begin."""
    recipe = TrainingRecipe.proven_for(image, epochs=1, precision="float32", overrides={}, family=family)
    return measure(family.proven(), recipe, image)


def _over(config: StudyConfig, cost: Complexity) -> bool:
    try:
        config.limits.check(cost)
    except LimitExceededError:
        return True
    return False


def _image_s(cost: Complexity, runtime: RuntimeModel, num_images: int, sharing: int) -> float:
    """About how long training on one image takes. Who shares a GPU shares its arithmetic, not a step's own cost."""
    own_s, whole_s = runtime.least_epoch_s, runtime.epoch_s(cost) or 0.0
    return (own_s + sharing * (whole_s - own_s)) / num_images
