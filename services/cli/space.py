"""Looking at the design space: space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.options import JsonOption
from services.cli.output import print_json, print_line, print_table
from services.units import format_combinations

if TYPE_CHECKING:
    from search_space.knobs import Knob
    from search_space.size import SpaceSize

PANEL = "Look at what there is"


def add_to(app: typer.Typer) -> None:
    """Make the commands of this file known."""
    app.command("space", rich_help_panel=PANEL)(space)


def space(
    family: Annotated[
        list[str] | None, typer.Argument(metavar="[FAMILY]...", help="Only these families.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List every knob of the search with its default and range, and say how many candidates there are.

    A configuration file can narrow the knobs.

    Example: convscout space resnet
    """
    from services.config import whole_space

    space = whole_space(tuple(family or ()), {})
    knobs, families, recipes, candidates = (
        space.knobs(),
        space.family_sizes(),
        space.recipe_size(),
        space.size(),
    )
    if json:
        size = {
            "families": {name: asdict(each) for name, each in families.items()},
            "recipes": asdict(recipes),
            "candidates": asdict(candidates),
        }
        print_json({"knobs": describe_knobs(knobs), "size": size})
        return
    print_knobs(knobs)
    print_line("")
    print_sizes({**families, "recipes": recipes, "candidates": candidates})


def describe_knobs(knobs: Mapping[str, Knob]) -> list[dict[str, Any]]:
    """All about ``knobs``, for programs."""
    return [
        {
            "name": name,
            "default": knob.default,
            "range": knob.range_text(),
            "unsearched": knob.unsearched_text(),
            "scale": knob.scale,
            "when": knob.when,
            "about": knob.help,
        }
        for name, knob in knobs.items()
    ]


def print_knobs(knobs: Mapping[str, Knob], *, unsearched: bool = False) -> None:
    """A table of ``knobs``, with the condition that each is sampled under, and what is legal besides its range."""
    rows = []
    for name, knob in knobs.items():
        condition = f" (if {knob.condition_text()})" if knob.when else ""
        besides = f" [{knob.unsearched_text()}]" if unsearched and knob.unsearched_text() else ""
        rows.append([name, str(knob.default), f"{knob.range_text()}{besides}", f"{knob.help}{condition}"])
    print_table(["knob", "default", "range [also legal]" if unsearched else "range", "about"], rows)


def print_sizes(sizes: Mapping[str, SpaceSize]) -> None:
    """A table of how many there are of each."""
    rows = [[name, format_combinations(each.discrete), str(each.continuous)] for name, each in sizes.items()]
    numbers = ["combinations", "continuous knobs besides, at most"]
    print_table(["how many", *numbers], rows, right=numbers)
