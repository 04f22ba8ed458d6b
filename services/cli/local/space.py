"""Looking at the design space, on this machine: space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from convscout.search_space.knobs import Knob
from convscout.search_space.size import SpaceSize
from convscout.search_space.space import SearchSpace
from convscout.services.cli.output import print_json, print_line, print_table
from convscout.services.config.units import format_combinations


def space(families: Sequence[str], *, json: bool) -> None:
    """List the knobs of ``families``, of all where none is named, and say how many candidates there are."""
    space = SearchSpace.for_any_image(tuple(families), {})
    sizes, recipes, candidates = space.family_sizes(), space.recipe_size(), space.size()
    if json:
        size = {
            "families": {name: asdict(each) for name, each in sizes.items()},
            "recipes": asdict(recipes),
            "candidates": asdict(candidates),
        }
        print_json({"knobs": describe_knobs(space.knobs()), "size": size})
        return
    print_knobs(space.knobs())
    print_line("")
    _print_sizes({**sizes, "recipes": recipes, "candidates": candidates})


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


def _print_sizes(sizes: Mapping[str, SpaceSize]) -> None:
    """A table of how many there are of each."""
    rows = [[name, format_combinations(each.discrete), str(each.continuous)] for name, each in sizes.items()]
    numbers = ["combinations", "continuous knobs besides, at most"]
    print_table(["how many", *numbers], rows, right=numbers)
