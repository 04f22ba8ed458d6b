"""Conditions: which knobs of a search space every candidate has, and what the others hang on."""

from __future__ import annotations

from collections.abc import Mapping

from convscout.search_space.architecture import families
from convscout.search_space.configurable import Configurable
from convscout.search_space.knobs import Override
from convscout.search_space.recipe import REGISTRIES, TrainingRecipe, part_knobs, sampled_names
from convscout.search_space.space import SearchSpace

ALWAYS = frozenset[str]()


def conditions(space: SearchSpace) -> dict[str, frozenset[str]]:
    """Of each sampled knob, by full name, the knobs that decide whether a candidate has it; ``ALWAYS`` if all do."""
    found: dict[str, frozenset[str]] = {}
    family = ALWAYS
    if len(space.families) > 1:
        found["family"], family = ALWAYS, frozenset({"family"})
    for name in space.families:
        found |= _within(families.get(name), family, space.overrides)
    found |= _within(TrainingRecipe, ALWAYS, space.overrides)
    for part, knob in part_knobs(space.image, space.overrides).items():
        names, chosen = sampled_names(knob), ALWAYS
        if len(names) > 1:
            found[f"recipe.{part}"], chosen = ALWAYS, frozenset({f"recipe.{part}"})
        for name in names:
            for key, needed in _within(REGISTRIES[part].get(name), chosen, space.overrides).items():
                # two parts may have the same policy, whose knobs are there if either has it
                found[key] = min(found.get(key, needed), needed, key=len)
    return found


def _within(
    config: type[Configurable], outer: frozenset[str], overrides: Mapping[str, Override]
) -> dict[str, frozenset[str]]:
    """The conditions of the knobs of ``config``, which is there itself as ``outer`` decides."""
    knobs = config.narrowed_knobs(overrides)
    found: dict[str, frozenset[str]] = {}
    for field, knob in knobs.items():
        needed, possible = outer, knob.count() > 1
        for name, values in knob.when.items():
            deciding, full_name = knobs[name], f"{config.name}.{name}"
            if full_name not in found:  # it has one value
                possible &= deciding.default in values
            elif sum(map(deciding.samples, values)) < deciding.count():
                needed |= found[full_name] | {full_name}
        if possible:
            found[f"{config.name}.{field}"] = needed
    return found
