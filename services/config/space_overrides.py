"""Space overrides: what a study narrows of the design space, by its settings and by how many images it has."""

from __future__ import annotations

from convscout.search_space.knobs import Override
from convscout.search_space.recipe import BATCH_SIZES
from convscout.services.config.study_config import StudyConfig

USUAL_BATCH, LEAST_STEPS = 256, 40  # larger batches are tried where an epoch still has so many steps


def space_overrides(config: StudyConfig, num_images: int) -> dict[str, Override]:
    """What a study narrows of the space, for so many training images: what it says, and batches that suit them."""
    largest = max(USUAL_BATCH, num_images // LEAST_STEPS)
    choices = [size for size in BATCH_SIZES if size <= largest]
    return {"recipe.batch_size": {"choices": choices}, **config.space}
