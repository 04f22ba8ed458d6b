"""What several tests of the design space need."""

from __future__ import annotations

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.recipe import TrainingRecipe


def every_variant() -> list[tuple[str, str]]:
    """All published configurations as ``(family, variant)``."""
    return [(name, variant) for name, family in families.items() for variant in family.variants]


def variant_of(family: str, variant: str) -> ArchitectureConfig:
    """The published configuration called ``variant``."""
    return families.get(family).published(variant)


def recipe_for(image: ImageSpec) -> TrainingRecipe:
    """The proven recipe, in float32, for costs that do not depend on it."""
    return TrainingRecipe.proven_for(image, epochs=1, precision="float32", overrides={})
