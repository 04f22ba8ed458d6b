"""What several tests of the design space need."""

from __future__ import annotations

from search_space.architecture import ArchitectureConfig, families


def every_variant() -> list[tuple[str, str]]:
    """All published configurations as ``(family, variant)``."""
    return [(name, variant) for name, family in families.items() for variant in family.variants]


def variant_of(family: str, variant: str) -> ArchitectureConfig:
    """The published configuration called ``variant``."""
    return families.get(family)(**families.get(family).variants[variant])
