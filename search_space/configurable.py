"""Configurable: the base of every frozen config whose fields are knobs.

It gives a config its three verbs: be sampled (``suggest``), be checked (on construction, all faults
at once) and travel as JSON (``to_dict`` / ``from_dict``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from convscout.search_space.errors import ConfigError, Problem
from convscout.search_space.knobs import Knob, Override, Suggester
from convscout.search_space.size import SpaceSize, size_of


@dataclass(frozen=True, kw_only=True)
class Configurable:
    """A frozen config of scalar fields, some of which are knobs.

    ``name`` is the registered name; it prefixes every knob (``resnet.width``) and is stored in JSON.
    """

    name: ClassVar[str]

    def __post_init__(self) -> None:
        values = vars(self)
        problems = [
            Problem(field=f"{self.name}.{field}", value=values[field], rule=rule)
            for field, knob in self.knobs().items()
            if (rule := knob.broken_rule(values[field]))
        ]
        problems += [] if problems else self.conflicts()
        if problems:
            raise ConfigError(problems)

    def conflicts(self) -> list[Problem]:
        """Rules that tie several fields together; checked once each field is legal by itself."""
        return []

    @classmethod
    def knobs(cls) -> dict[str, Knob]:
        """The knobs of this config by field name, in the order they are sampled."""
        return {f.name: f.metadata["knob"] for f in dataclasses.fields(cls) if "knob" in f.metadata}

    @classmethod
    def suggest(cls, suggester: Suggester, overrides: Mapping[str, Override] | None = None) -> Self:
        """Sample every knob that matters under ``<name>.<field>``.

        ``overrides`` maps such full names to a narrower range or a fixed value.
        """
        return cls(**cls.suggest_values(suggester, overrides or {}))

    @classmethod
    def suggest_values(cls, suggester: Suggester, overrides: Mapping[str, Override]) -> dict[str, Any]:
        """What ``suggest`` samples, by field name. A knob that has one value or does not matter is not sampled."""
        values: dict[str, Any] = {}
        for field, knob in cls.narrowed_knobs(overrides).items():
            sampled = knob.active(values) and knob.count() > 1
            values[field] = knob.suggest(suggester, f"{cls.name}.{field}") if sampled else knob.default
        return values

    @classmethod
    def narrowed_knobs(cls, overrides: Mapping[str, Override]) -> dict[str, Knob]:
        """The knobs with a study's overrides applied. Raises ``ConfigError`` with every bad override."""
        knobs, problems = cls.knobs(), []
        for field, knob in knobs.items():
            full_name = f"{cls.name}.{field}"
            if full_name in overrides:
                try:
                    knobs[field] = knob.narrowed(overrides[full_name])
                except (ValueError, TypeError) as error:
                    problems.append(Problem(field=full_name, value=overrides[full_name], rule=str(error)))
        if problems:
            raise ConfigError(problems)
        return knobs

    @classmethod
    def space_size(cls, overrides: Mapping[str, Override] | None = None) -> SpaceSize:
        """How many configurations ``suggest`` can give, those that ``conflicts`` refuses among them."""
        return size_of(cls.narrowed_knobs(overrides or {}))

    @classmethod
    def proven(cls, overrides: Mapping[str, Override] | None = None) -> Self:
        """The configuration to try first: each knob's default, moved into the study's ranges."""
        return cls(**{field: knob.default for field, knob in cls.narrowed_knobs(overrides or {}).items()})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; ``name`` first."""
        return {"name": self.name, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``. Raises ``ConfigError`` on an unknown field."""
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known - {"name"})
        if unknown:
            rule = f"must be one of {', '.join(sorted(known))}"
            raise ConfigError([Problem(field=f"{cls.name}.{key}", value=key, rule=rule) for key in unknown])
        return cls(**{key: value for key, value in values.items() if key != "name"})
