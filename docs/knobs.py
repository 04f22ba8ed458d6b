"""Writes docs/knobs.md from the code: ``make docs``. A test fails when the page is out of date."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path

from convscout.search_space.architecture import ArchitectureConfig, families
from convscout.search_space.augmentation import augmentations
from convscout.search_space.knobs import Knob
from convscout.search_space.optimizer import optimizers
from convscout.search_space.recipe import REGISTRIES, TrainingRecipe, part_knobs
from convscout.search_space.space import SearchSpace

PAGE = Path(__file__).with_name("knobs.md")


def page() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Every family and every knob"
    yield ""
    yield "Written by `make docs` from the code; [design-space.md](design-space.md) explains it."
    yield "The range is what is sampled; more values may be legal (`convscout families show NAME`)."
    yield ""
    yield "## Families"
    for name, family in families.items():
        yield from ["", f"### {name}", "", *_about(family), ""]
        if family.variants:
            yield from [
                f"Published variants: {', '.join(f'`{variant}`' for variant in family.variants)}.",
                "",
            ]
        yield from _table(name, family.knobs())
    yield from ["", "## Recipe", "", *_table("recipe", {**TrainingRecipe.knobs(), **_parts()})]
    for title, registry in (("Optimizers", optimizers), ("Augmentations", augmentations)):
        yield from ["", f"## {title}"]
        for name, config in registry.items():
            yield from ["", f"### {name}", "", _first_paragraph(config), ""]
            yield from _table(name, config.knobs())


def _about(family: type[ArchitectureConfig]) -> list[str]:
    """The module's docstring: what the family is, the paper, deviations."""
    return (inspect.getdoc(inspect.getmodule(family)) or "").splitlines()


def _parts() -> Mapping[str, Knob]:
    image = SearchSpace.for_any_image((), {}).image
    knobs = part_knobs(image, {})
    assert set(knobs) == set(REGISTRIES)
    return knobs


def _table(prefix: str, knobs: Mapping[str, Knob]) -> Iterator[str]:
    if not knobs:
        yield "It has no knobs."
        return
    yield "| knob | default | range | scale | only if | what it is |"
    yield "|---|---|---|---|---|---|"
    for field, knob in knobs.items():
        cells = [
            f"`{prefix}.{field}`",
            knob.default,
            knob.range_text(),
            knob.scale,
            knob.condition_text(),
            knob.help,
        ]
        yield "| " + " | ".join(map(str, cells)) + " |"


def _first_paragraph(thing: type) -> str:
    return (inspect.getdoc(thing) or "").partition("\n\n")[0].replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
