"""Knobs: one declaration a field gives its default, its legal values, its search range and its help.

A knob is declared where its field is::

    width: int = integer(32, low=16, high=64, log=True, help="filters of the first stage")

so that sampling, validation, the table of ``convscout space`` and narrowing from TOML all read the
same line. ``low`` and ``high`` bound what is *sampled*; ``minimum`` and ``maximum`` bound what is
*legal*, which is often wider: published variants may lie outside the range worth searching.
"""

from __future__ import annotations

import math
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

Scalar: TypeAlias = bool | int | float | str | None
Override: TypeAlias = Scalar | Mapping[str, Any]

UNBOUNDED = 1e9  # the maximum of a real knob that names none


def read_scalar(text: str) -> Scalar:
    """The value that ``text`` means in TOML; what is none there is a text itself, so that it needs no quotes."""
    try:
        value: Scalar = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return value


class Suggester(Protocol):
    """What a search space asks of a sampler. Optuna's ``Trial`` and ``FixedTrial`` fit as they are."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """An integer in [low, high]."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A float in [low, high]."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of ``choices``."""


@dataclass(frozen=True, kw_only=True)
class Knob(ABC):
    """One searchable setting.

    ``when`` names sibling fields and the values they must have for this knob to matter; a knob that
    does not matter is not sampled and keeps its default.
    """

    default: Any
    help: str
    when: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)

    @abstractmethod
    def suggest(self, suggester: Suggester, name: str) -> Any:
        """Ask ``suggester`` for a value under the full name ``name``."""

    @abstractmethod
    def broken_rule(self, value: object) -> str | None:
        """The rule that ``value`` breaks, as text, or None when it is legal."""

    @abstractmethod
    def range_text(self) -> str:
        """The sampled range, for a table: ``16 … 64 (log)``."""

    @abstractmethod
    def narrowed(self, override: Override) -> Knob:
        """This knob with another range, or fixed to one value. Raises ``ValueError`` with the rule broken."""

    @abstractmethod
    def nearest(self, value: Scalar) -> Scalar:
        """The sampled value nearest to ``value``; the default where none is near."""

    @abstractmethod
    def unsearched_text(self) -> str:
        """What is legal and not sampled, for a table: ``prelu, mish`` or ``1 … 64``; empty if nothing."""

    @property
    @abstractmethod
    def scale(self) -> str:
        """How the range is spaced: "linear", "logarithmic", "categorical" or "fixed"."""

    @abstractmethod
    def count(self) -> float:
        """How many values are sampled from; ``inf`` for a continuous knob."""

    @abstractmethod
    def samples(self, value: Scalar) -> bool:
        """Whether ``value`` is one of the countable values that are sampled from."""

    def condition_text(self) -> str:
        """What ``when`` asks for, for a table: ``dropout_kind = element, spatial``; empty if nothing."""
        return " and ".join(f"{name} = {', '.join(map(str, values))}" for name, values in self.when.items())

    def active(self, siblings: Mapping[str, Any]) -> bool:
        """Whether this knob matters, given the values of the fields before it."""
        return all(siblings[name] in values for name, values in self.when.items())


@dataclass(frozen=True, kw_only=True)
class Fixed(Knob):
    """A knob that a study has pinned to its default: legal as ``origin`` says, never sampled."""

    origin: Knob

    def suggest(self, suggester: Suggester, name: str) -> Any:
        return self.default

    def broken_rule(self, value: object) -> str | None:
        return self.origin.broken_rule(value)

    def range_text(self) -> str:
        return f"= {self.default}"

    def narrowed(self, override: Override) -> Knob:
        return self.origin.narrowed(override)

    def nearest(self, value: Scalar) -> Scalar:
        fixed: Scalar = self.default
        return fixed

    def unsearched_text(self) -> str:
        return ""

    @property
    def scale(self) -> str:
        return "fixed"

    def count(self) -> float:
        return 1

    def samples(self, value: Scalar) -> bool:
        return bool(value == self.default)


@dataclass(frozen=True, kw_only=True)
class _Number(Knob):
    """What integer and real knobs share: two ranges, and overrides of the sampled one."""

    low: float
    high: float
    minimum: float
    maximum: float
    log: bool

    def range_text(self) -> str:
        return f"{self.low:g} … {self.high:g}{' (log)' if self.log else ''}"

    def nearest(self, value: Scalar) -> Scalar:
        assert isinstance(value, int | float)
        return min(max(value, self.low), self.high)

    def unsearched_text(self) -> str:
        if self.minimum == self.low and self.maximum == self.high:
            return ""
        return f"{self.minimum:g} " + ("and more" if self.maximum >= UNBOUNDED else f"… {self.maximum:g}")

    @property
    def scale(self) -> str:
        return "logarithmic" if self.log else "linear"

    def narrowed(self, override: Override) -> Knob:
        if not isinstance(override, Mapping):
            return _pin(self, override)
        if "choices" in override:
            if len(override) > 1:
                raise ValueError("must have choices alone, or low, high and log")
            return _choose(self, override)
        unknown = set(override) - {"low", "high", "log"}
        if unknown:
            raise ValueError(
                f"must be a value, or a table of low, high, log or choices (not {min(unknown)!r})"
            )
        if not isinstance(override.get("log", self.log), bool):
            raise ValueError("log must be true or false")
        new = replace(self, **{"low": self.low, "high": self.high, **override})
        for bound in (new.low, new.high):
            if rule := self.broken_rule(bound):
                raise ValueError(rule)
        if new.low > new.high:
            raise ValueError("low <= high must hold")
        if new.log and new.low <= 0:
            raise ValueError("a logarithmic range must have low > 0")
        default = min(max(self.default, new.low), new.high)
        return replace(new, default=default)


@dataclass(frozen=True, kw_only=True)
class Integer(_Number):
    """A whole number, sampled from low, low + step, …, high."""

    step: int = 1

    def suggest(self, suggester: Suggester, name: str) -> int:
        return suggester.suggest_int(name, int(self.low), int(self.high), step=self.step, log=self.log)

    def broken_rule(self, value: object) -> str | None:
        legal = (
            isinstance(value, int) and not isinstance(value, bool) and self.minimum <= value <= self.maximum
        )
        return None if legal else f"must be a whole number in [{self.minimum:g}, {self.maximum:g}]"

    def narrowed(self, override: Override) -> Knob:
        new = super().narrowed(override)
        if isinstance(new, Integer) and self.step > 1:
            if new.log:
                raise ValueError(f"log must be false, as this range has steps of {self.step}")
            if (new.low - self.low) % self.step or (new.high - self.low) % self.step:
                raise ValueError(f"low and high must be whole steps of {self.step} from {self.low:g}")
        return new

    def count(self) -> float:
        return (self.high - self.low) // self.step + 1

    def samples(self, value: Scalar) -> bool:
        return value in range(int(self.low), int(self.high) + 1, self.step)


@dataclass(frozen=True, kw_only=True)
class Real(_Number):
    """A finite real number in [low, high]."""

    def suggest(self, suggester: Suggester, name: str) -> float:
        return suggester.suggest_float(name, self.low, self.high, log=self.log)

    def broken_rule(self, value: object) -> str | None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        legal = number and math.isfinite(value) and self.minimum <= value <= self.maximum  # type: ignore[arg-type, operator]
        return None if legal else f"must be a number in [{self.minimum:g}, {self.maximum:g}]"

    def count(self) -> float:
        return math.inf if self.low < self.high else 1

    def samples(self, value: Scalar) -> bool:
        return self.low == self.high == value


@dataclass(frozen=True, kw_only=True)
class Choice(Knob):
    """One of a few values; ``legal`` may hold more than are sampled."""

    choices: tuple[Scalar, ...]
    legal: tuple[Scalar, ...]

    def suggest(self, suggester: Suggester, name: str) -> Scalar:
        value: Scalar = suggester.suggest_categorical(name, self.choices)
        return value

    def broken_rule(self, value: object) -> str | None:
        # `True == 1` in Python, so compare types too
        legal = any(type(value) is type(option) and value == option for option in self.legal)
        return None if legal else f"must be one of {', '.join(map(str, self.legal))}"

    def range_text(self) -> str:
        return ", ".join(map(str, self.choices))

    def unsearched_text(self) -> str:
        return ", ".join(str(option) for option in self.legal if option not in self.choices)

    @property
    def scale(self) -> str:
        return "categorical"

    def narrowed(self, override: Override) -> Knob:
        if not isinstance(override, Mapping):
            return _pin(self, override)
        if set(override) != {"choices"}:
            raise ValueError("must be a value, or a table with choices")
        return _choose(self, override)

    def nearest(self, value: Scalar) -> Scalar:
        if value in self.choices:
            return value
        numbers = [each for each in self.choices if _is_number(each)]
        if numbers and _is_number(value):
            return min(numbers, key=lambda each: abs(math.log(each / value)))  # type: ignore[operator]
        default: Scalar = self.default
        return default

    def count(self) -> float:
        return len(self.choices)

    def samples(self, value: Scalar) -> bool:
        return value in self.choices


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _pin(knob: Knob, value: Scalar) -> Fixed:
    if rule := knob.broken_rule(value):
        raise ValueError(rule)
    return Fixed(default=value, help=knob.help, when=knob.when, origin=knob)


def _choose(knob: Knob, override: Mapping[str, Any]) -> Choice:
    choices = override["choices"]
    if not isinstance(choices, list | tuple) or not choices:
        raise ValueError("choices must be a list with at least one value")
    if len(set(map(repr, choices))) < len(choices):
        raise ValueError("choices must be different from each other")
    for choice in choices:
        if rule := knob.broken_rule(choice):
            raise ValueError(f"each of choices {rule}")
    default = knob.default if knob.default in choices else choices[0]
    return Choice(
        default=default, help=knob.help, when=knob.when, choices=tuple(choices), legal=tuple(choices)
    )


def integer(
    default: int,
    *,
    low: int,
    high: int,
    help: str,
    step: int = 1,
    log: bool = False,
    minimum: int = 1,
    maximum: int = 2**31,
    when: Mapping[str, tuple[Scalar, ...]] | None = None,
) -> Any:
    """Declare a dataclass field as an integer knob."""
    knob = Integer(
        default=default, low=low, high=high, step=step, log=log, minimum=minimum, maximum=maximum, help=help,
        when=when or {},
    )  # fmt: skip
    return field(default=default, metadata={"knob": knob})


def real(
    default: float,
    *,
    low: float,
    high: float,
    help: str,
    log: bool = False,
    minimum: float = 0.0,
    maximum: float = UNBOUNDED,
    when: Mapping[str, tuple[Scalar, ...]] | None = None,
) -> Any:
    """Declare a dataclass field as a real knob."""
    knob = Real(
        default=default,
        low=low,
        high=high,
        log=log,
        minimum=minimum,
        maximum=maximum,
        help=help,
        when=when or {},
    )
    return field(default=default, metadata={"knob": knob})


def choice(
    default: Scalar,
    choices: Sequence[Scalar],
    *,
    help: str,
    legal: Sequence[Scalar] | None = None,
    when: Mapping[str, tuple[Scalar, ...]] | None = None,
) -> Any:
    """Declare a dataclass field as a categorical knob."""
    knob = Choice(
        default=default, choices=tuple(choices), legal=tuple(legal or choices), help=help, when=when or {}
    )
    return field(default=default, metadata={"knob": knob})
