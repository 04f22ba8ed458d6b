"""The settings of a trial as its page lists them: by what they belong to, with what each means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from convscout.search_space.recipe import REGISTRIES
from convscout.trials.config import TrialConfig


@dataclass(frozen=True, kw_only=True)
class KnobRow:
    """A knob by full name. One that is not ``active`` means nothing with the other values."""

    name: str
    value: Any
    help: str
    active: bool


def knob_groups(config: TrialConfig) -> Iterator[tuple[str, list[KnobRow]]]:
    """The title of each group, and its knobs."""
    chosen = {part: getattr(config.recipe, part) for part in REGISTRIES}
    rows = _rows(config.recipe)
    names = [
        KnobRow(name=f"recipe.{part}", value=each.name, help="", active=True) for part, each in chosen.items()
    ]
    yield f"Architecture: {config.architecture.name}", _rows(config.architecture)
    yield "Recipe", [*names, *rows]
    for part, each in chosen.items():
        if members := _rows(each):
            yield f"{part.replace('_', ' ').capitalize()}: {each.name}", members


def _rows(part: Any) -> list[KnobRow]:
    return [
        KnobRow(
            name=f"{part.name}.{field}",
            value=getattr(part, field),
            help=knob.help,
            active=knob.active(vars(part)),
        )
        for field, knob in part.knobs().items()
    ]
