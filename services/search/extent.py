"""Extent: how many of the images a study reads, and at which size, so that there is time to train on them.

Decided once it is known what there is and before most of it is read, and kept with the study's settings, so that a
resume reads the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.complexity_meter import measure
from convscout.search_space.errors import UnbuildableError
from convscout.search_space.recipe import TrainingRecipe
from convscout.search_space.space import Candidate
from convscout.services.config.study_config import StudyConfig
from convscout.services.search.auto_config import (
    ENOUGH_IMAGES,
    LEAST_EPOCHS,
    MOST_EPOCHS,
    training_s,
    usual_trials,
)
from convscout.services.search.budget import PASSES
from convscout.services.search.runtime_model import RuntimeModel
from convscout.trials.data.extent import Available, Extent
from convscout.trials.data.splits import DataSplits
from convscout.trials.training.first_steps import JUDGING
from convscout.trials.training.machine_speed import BATCH_SIZE, IMAGE, MAIN, SMALLEST, MachineSpeed, reference

READING_SHARE = 0.12  # of the time may be spent on reading images
JUDGING_SHARE = 0.08  # and on answering the validation images in an epoch, and all that is judged in the end
# Pixels that images are shrunk to, where theirs are too many.
SIDES = (256, 224, 192, 160, 128, 96, 64, 48, 32)
# Times as large may a network be as one that sees enough images: it is scaled when it is proposed.
SHRINKING = 4
NEARLY_ALL = 0.8  # of the images: then all are read, as there is little to gain
FEWEST_A_CLASS, FEWEST = 10, 200  # images, for which reading may take
FEWEST_JUDGED, FEWEST_JUDGED_A_CLASS = 1000, 20  # images that one network is judged by
LEAST_S = 1.0  # is planned for where the time is up already: one network is trained all the same
MOST_READING_SHARE = 0.3  # of the time; sources read some of each class whatever it takes


def extent_for(
    speed: Callable[[], MachineSpeed], left_s: Callable[[], float], image_size: int | None
) -> Callable[[Available], Extent]:
    """What to read in a search that has ``left_s`` seconds, on a machine of that ``speed``.

    Both are asked once it is known that there is something to read. ``image_size`` is what a person asked for, if
    anything.
    """

    def choose(available: Available) -> Extent:
        measured, time_s = speed(), max(left_s(), LEAST_S)
        size = image_size or _size(available, measured, time_s)
        share = _share(available, size, measured, time_s)
        held_out = _validation_share(available, size, share, measured, time_s)
        return Extent(share=share, image_size=size, validation_share=held_out)

    return choose


def with_extent(config: StudyConfig, splits: DataSplits) -> StudyConfig:
    """``config`` with what was decided when its images were read, for whoever reads them again."""
    if splits.reading is None:
        return config
    extent, usual = splits.reading.extent, Extent()
    share = config.share if extent.share == usual.share else extent.share
    usual_part = extent.validation_share == usual.validation_share
    held_out = config.validation_share if usual_part else extent.validation_share
    return replace(config, share=share, image_size=extent.image_size, validation_share=held_out)


def _size(available: Available, speed: MachineSpeed, time_s: float) -> int | None:
    """The largest side at which a network sees enough images in the time; None for the images' own."""
    enough = min(ENOUGH_IMAGES, MOST_EPOCHS * max(available.num_train, 1)) / SHRINKING
    sides = [available.side, *(side for side in SIDES if side < available.side)]
    for side in sides:
        if training_s(time_s) / _image_s(available, side, speed, reference(MAIN)) >= enough:
            return None if side == available.side else side
    return None if sides[-1] == available.side else sides[-1]


def _share(available: Available, size: int | None, speed: MachineSpeed, time_s: float) -> float:
    """Of each split, as much as can be read, trained on and judged in the time; all, unless that is too much."""
    side = size or available.side
    read_s = available.read_s if side == available.side else available.resized_read_s
    total = available.num_train + available.num_validation + available.num_test
    held_out = available.num_validation + available.num_test or 0.3 * available.num_train
    least_s = _image_s(available, side, speed, reference(SMALLEST))
    readable = time_s / (total * read_s) if read_s else math.inf
    shares = (
        1.0,
        READING_SHARE * readable,
        training_s(time_s) / (LEAST_EPOCHS * available.num_train * least_s),
        JUDGING_SHARE * time_s / ((PASSES + JUDGING) * held_out * least_s),
    )
    fewest = min(max(FEWEST, FEWEST_A_CLASS * available.num_classes) / total, MOST_READING_SHARE * readable)
    share = min(1.0, max(min(shares), fewest))
    return _round(share) if share < NEARLY_ALL else 1.0


def _validation_share(
    available: Available, size: int | None, share: float, speed: MachineSpeed, time_s: float
) -> float:
    """Of the training images: fewer where there is time for a single network, as there is little to choose then."""
    num_images = share * available.num_train
    side = size or available.side
    family = max(filter(lambda each: each.searched, map(families.get, families.names())), key=_strength)
    recipe = TrainingRecipe.proven_for(IMAGE, epochs=1, precision="auto", overrides={}, family=family)
    image_s = _image_s(available, side, speed, (family.proven(), recipe))
    threads = speed.threads if speed.device == "cpu" else 1
    if usual_trials(round(num_images), threads * training_s(time_s) / image_s) >= 2:
        return Extent().validation_share
    fewest = max(FEWEST_JUDGED, FEWEST_JUDGED_A_CLASS * available.num_classes)
    return _round(min(Extent().validation_share, fewest / num_images))


def _round(share: float) -> float:
    """To two digits, which a person can say, rounded up so that the fewest remain enough."""
    digits = 2 - math.ceil(math.log10(share))
    return float(math.ceil(share * 10**digits) / 10**digits)


def _strength(family: type[ArchitectureConfig]) -> float:
    return family.strength


def _image_s(available: Available, side: int, speed: MachineSpeed, candidate: Candidate) -> float:
    """Seconds that training ``candidate`` takes for one image on one thread."""
    image = ImageSpec(in_channels=available.channels, image_size=side, num_classes=available.num_classes)
    runtime = RuntimeModel.on(speed, training=BATCH_SIZE, validation=0)
    try:
        cost = measure(*candidate, image)
    except UnbuildableError:  # such small images are fast in any network
        return runtime.least_epoch_s / BATCH_SIZE
    return (runtime.epoch_s(cost) or 0.0) / BATCH_SIZE
