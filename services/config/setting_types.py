"""Rules: what a setting of a study may be, how it is spelled, and what a wrong value is told.

Names are checked against their registries only when a value is, because that imports torch and
Optuna, which ``convscout --help`` must not wait for. What a study keeps is restored without them.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convscout.search_space.errors import nearest
from convscout.services.config.names import NAME, find_name_problem, is_known_form
from convscout.services.config.units import (
    as_float,
    format_bytes,
    format_duration,
    parse_bytes,
    parse_count,
    parse_duration,
)

if TYPE_CHECKING:
    from convscout.search_space.registry import Registry
    from convscout.trials.data.sources import Source

AUTO = "auto"
_MOST_HOURS = 1e6
_ADDRESS = r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\]):([0-9]{1,5})"
# what texts that stand for numbers look like, wider than what is understood
_COUNT = r"^\s*\+?\s*[0-9_.]+(e[0-9]{1,2})?[kmgbKMGB]?\s*$"
_DURATION = r"^[+0-9.dhmsDHMS\s]+$"
_BYTES = r"^\s*\+?\s*[0-9.]+ ?[kmgtKMGT]?[iI]?[bB]?\s*$"


class SettingType(ABC):
    """What one setting may be."""

    @abstractmethod
    def parse(self, value: object) -> Any:
        """``value`` as a study keeps it; parsing that again changes nothing. Raises ``ValueError`` with the rule."""

    def restore(self, value: Any) -> Any:
        """What ``parse`` gave, from its JSON. Names are taken as they are: who uses them is told if they are gone."""
        return self.parse(value)

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """What is understood, as JSON Schema, as far as that can say it; a string may add (``+10m``)."""

    def spell(self, value: Any) -> Any:
        """A kept value as a person writes it in TOML."""
        return value


@dataclass(frozen=True)
class StudyName(SettingType):
    """The name of a study: of a new one by the rule of ``names.py``, of one that exists as earlier versions allowed."""

    def parse(self, value: object) -> str:
        if not is_known_form(value):
            raise ValueError(find_name_problem(value))
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{NAME}$"}


@dataclass(frozen=True)
class Whole(SettingType):
    """A whole number in [minimum, maximum], also spelled ``1.5M``."""

    minimum: int
    maximum: int

    def parse(self, value: object) -> int:
        rule = f"must be a whole number from {self.minimum:,} to {self.maximum:,}"
        try:
            number = parse_count(value)
        except ValueError:
            raise ValueError(rule) from None
        if not self.minimum <= number <= self.maximum:
            raise ValueError(rule)
        return number

    def schema(self) -> dict[str, Any]:
        return _number("integer", _COUNT, minimum=self.minimum, maximum=self.maximum)


@dataclass(frozen=True)
class Share(SettingType):
    """A number in [0, below), or in (0, below) where zero makes no sense; with ``whole`` it may be ``below`` itself."""

    below: float
    zero: bool
    whole: bool = False

    def parse(self, value: object) -> float:
        number = as_float(value)
        low = number >= 0 if self.zero else number > 0
        high = number <= self.below if self.whole else number < self.below
        if not (low and high):
            bounds = "from 0" if self.zero else "above 0", "at most" if self.whole else "below"
            raise ValueError(f"must be a share {' and '.join(bounds)} {self.below:g}")
        return number

    def schema(self) -> dict[str, Any]:
        least = "minimum" if self.zero else "exclusiveMinimum"
        most = "maximum" if self.whole else "exclusiveMaximum"
        return {"type": "number", least: 0, most: self.below}


@dataclass(frozen=True)
class Hours(SettingType):
    """A number of hours greater than 0, also spelled as a duration: ``90m``."""

    def parse(self, value: object) -> float:
        bare = not isinstance(value, bool) and re.fullmatch(r"\d+(\.\d+)?", str(value).strip())
        try:
            hours = parse_duration(f"{value}h" if bare else value) / 3600
        except ValueError:
            hours = math.nan
        if not 0 < hours <= _MOST_HOURS:
            raise ValueError("must be a number of hours greater than 0, or a duration such as 90m")
        return hours

    def schema(self) -> dict[str, Any]:
        return _number("number", _DURATION, exclusiveMinimum=0, maximum=_MOST_HOURS)


@dataclass(frozen=True)
class GpuShare(SettingType):
    """A share of a GPU in [0.01, 1], also spelled ``1/4``, or "auto"."""

    def parse(self, value: object) -> float | str:
        if value == AUTO:
            return AUTO
        try:
            share = float(Fraction(value)) if isinstance(value, str | int | float) else math.nan
        except (ValueError, ZeroDivisionError, OverflowError):
            share = math.nan
        if isinstance(value, bool) or not 0.01 <= share <= 1:
            raise ValueError(f"must be {AUTO} or a share of one GPU from 0.01 to 1, such as 0.25 or 1/4")
        return share

    def schema(self) -> dict[str, Any]:
        return {"type": ["number", "string"], "minimum": 0.01, "maximum": 1}


@dataclass(frozen=True)
class Flag(SettingType):
    """Yes or no."""

    def parse(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError("must be true or false")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class Duration(SettingType):
    """Seconds in [minimum_s, maximum_s], spelled ``10m``."""

    minimum_s: float
    maximum_s: float

    def parse(self, value: object) -> float:
        seconds = parse_duration(value)
        if not self.minimum_s <= seconds <= self.maximum_s:
            low, high = format_duration(self.minimum_s), format_duration(self.maximum_s)
            raise ValueError(f"must be a duration from {low} to {high}")
        return seconds

    def spell(self, value: Any) -> str:
        return format_duration(value)

    def schema(self) -> dict[str, Any]:
        return _number("number", _DURATION, minimum=self.minimum_s, maximum=self.maximum_s)


@dataclass(frozen=True)
class Bytes(SettingType):
    """An amount of memory in [minimum, maximum] bytes, also spelled ``2GiB``."""

    minimum: int
    maximum: int

    def parse(self, value: object) -> int:
        count = parse_bytes(value)
        if not self.minimum <= count <= self.maximum:
            raise ValueError(f"must be from {format_bytes(self.minimum)} to {format_bytes(self.maximum)}")
        return count

    def schema(self) -> dict[str, Any]:
        return _number("number", _BYTES, minimum=self.minimum, maximum=self.maximum)


@dataclass(frozen=True)
class Directory(SettingType):
    """A path, made absolute so that a study can be resumed from anywhere."""

    def parse(self, value: object) -> str:
        if not (isinstance(value, str | Path) and str(value)) or "\0" in str(value):
            raise ValueError("must be the path of a directory")
        return str(Path(value).expanduser().absolute())

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True)
class Address(SettingType):
    """Where a server listens: ``HOST:PORT``."""

    def parse(self, value: object) -> str:
        found = re.fullmatch(_ADDRESS, value) if isinstance(value, str) else None
        if not found or not 0 < int(found[1]) < 2**16:
            raise ValueError("must be HOST:PORT, such as 10.0.0.5:6379, without a protocol")
        return found[0]

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_ADDRESS}$"}


@dataclass(frozen=True)
class OneOf(SettingType):
    """One of a few names, known only when asked for."""

    names: Callable[[], Iterable[str]]

    def parse(self, value: object) -> str:
        names = tuple(self.names())
        if not isinstance(value, str) or value not in names:
            raise ValueError(f"must be one of {', '.join(names)}{did_you_mean(value, names)}")
        return value

    def restore(self, value: Any) -> str:
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.names())}


@dataclass(frozen=True)
class SomeOf(SettingType):
    """A list of different names, also spelled ``a,b``."""

    names: Callable[[], Iterable[str]]

    def parse(self, value: object) -> tuple[str, ...]:
        items = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        names = tuple(self.names()) if items else ()
        if not isinstance(items, list | tuple):
            raise ValueError("must be a list of names")
        unknown = [item for item in items if item not in names]
        if unknown:
            raise ValueError(f"must be names out of {', '.join(names)}{did_you_mean(unknown[0], names)}")
        if len(set(items)) < len(items):
            raise ValueError("must name each one only once")
        return tuple(items)

    def restore(self, value: Any) -> tuple[str, ...]:
        return tuple(value)

    def spell(self, value: Any) -> list[str]:
        return list(value)

    def schema(self) -> dict[str, Any]:
        names = {"type": "string", "enum": list(self.names())}
        return {"anyOf": [{"type": "array", "items": names, "uniqueItems": True}, {"type": "string"}]}


@dataclass(frozen=True)
class ObjectiveNames(SomeOf):
    """One of the ``qualities``, and after it perhaps names of costs."""

    qualities: Callable[[], Iterable[str]]

    def parse(self, value: object) -> tuple[str, ...]:
        named, qualities = super().parse(value), tuple(self.qualities())
        if not named or named[0] not in qualities or any(name in qualities for name in named[1:]):
            costs = ", ".join(name for name in self.names() if name not in qualities)
            raise ValueError(
                f"must be one of {', '.join(qualities)}, perhaps followed by costs: {costs} (as in accuracy,params)"
            )
        return named


@dataclass(frozen=True)
class DataName(SettingType):
    """The name of a data source, for some followed by ``:LOCATION``; a location on disk becomes absolute."""

    def parse(self, value: object) -> str:
        sources = _sources()
        name, _, location = value.partition(":") if isinstance(value, str) else ("", "", "")
        if name not in sources.names():
            raise ValueError(
                f"must be one of {', '.join(sources.names())}{did_you_mean(name, sources.names())}"
            )
        source = sources.get(name)
        if source.location and not location:
            raise ValueError(f"must say where the images are: {name}:{source.location}")
        if location and not source.location:
            raise ValueError(f"must be just {name}, which has no location")
        on_disk = source.location in ("PATH", "FILE")
        return f"{name}:{Path(location).expanduser().absolute()}" if on_disk else f"{value}"

    def restore(self, value: Any) -> str:
        return str(value)

    def schema(self) -> dict[str, Any]:
        sources = _sources()
        located = [f"{name}:.+" for name, source in sources.items() if source.location]
        alone = [name for name, source in sources.items() if not source.location]
        return {"type": "string", "pattern": f"^({'|'.join([*alone, *located])})$"}


@dataclass(frozen=True)
class KnobTable(SettingType):
    """Overrides by the full name of a knob: a value, or a table of low, high, log or choices.

    Tables within tables are flattened, so that TOML's ``resnet.width = 16`` needs no quotes.
    """

    def parse(self, value: object) -> dict[str, Any]:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise ValueError("must be a table of knobs")
        return dict(_flat(value, ""))

    def schema(self) -> dict[str, Any]:
        return {"type": "object"}


def _sources() -> Registry[type[Source]]:
    from convscout.trials.data.sources import sources  # NumPy, which `convscout --help` must not wait for

    return sources


def _number(kind: str, spelled: str, **bounds: float) -> dict[str, Any]:
    return {"type": [kind, "string"], "pattern": spelled, **bounds}


def _flat(table: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    for key, value in table.items():
        name = f"{prefix}{key}"
        # the full name of a knob has one dot; what lies below it is the override itself
        if isinstance(value, Mapping) and "." not in name:
            yield from _flat(value, f"{name}.")
        else:
            yield name, dict(value) if isinstance(value, Mapping) else value


def did_you_mean(value: object, names: Iterable[str]) -> str:
    """A hint at the name nearest to ``value``, or nothing."""
    near = nearest(str(value), names)
    return f" (did you mean {near!r}?)" if near else ""
