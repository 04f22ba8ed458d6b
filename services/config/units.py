"""Durations, counts and bytes as people write them: ``1h30m``, ``5ms``, ``1.5M``, ``300k``, ``2GiB``."""

from __future__ import annotations

import math
import re
from decimal import Decimal

_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1, "ms": 1e-3}
_DURATION = re.compile(r"(?=.)" + "".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in _SECONDS))
_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}
_COUNT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(e\d{1,2})?([kmgb]?)", re.IGNORECASE)
_POWERS = "kmgt"
_BYTES = re.compile(rf"(\d+(?:\.\d*)?|\.\d+) ?(?:([{_POWERS}])(i?b)?|b)?", re.IGNORECASE)

DURATION_RULE = "must be a duration such as 5ms, 90s, 10m, 1h30m or a number of seconds"
COUNT_RULE = "must be a count such as 300k, 1.5M, 1e6 or a whole number"
BYTES_RULE = "must be an amount of memory such as 500MB, 2GiB, 2G (which is GiB) or a number of bytes"


def parse_duration(value: object) -> float:
    """Seconds from ``"1h30m"`` or from a plain number of seconds. Raises ``ValueError`` with the rule."""
    seconds = _duration_from_text(value.strip().lower()) if isinstance(value, str) else as_float(value)
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(DURATION_RULE)
    return seconds


def _duration_from_text(text: str) -> float:
    if match := _DURATION.fullmatch(text):
        return sum(
            float(part) * unit for part, unit in zip(match.groups(), _SECONDS.values(), strict=True) if part
        )
    return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else math.nan


def parse_count(value: object) -> int:
    """A whole number from ``"1.5M"`` or from a plain number. Raises ``ValueError`` with the rule."""
    number = _count_from_text(value.strip().replace("_", "")) if isinstance(value, str) else as_float(value)
    if not (math.isfinite(number) and number == round(number) and number >= 0):
        raise ValueError(COUNT_RULE)
    return round(number)


def _count_from_text(text: str) -> float:
    match = _COUNT.fullmatch(text)
    if not match:
        return math.nan
    digits, exponent, suffix = match.groups()
    return float(digits + (exponent or "")) * _FACTORS[suffix.lower()]


def parse_bytes(value: object) -> int:
    """Bytes from ``"2GiB"`` or from a plain number of them. Raises ``ValueError`` with the rule.

    ``GB`` is 10⁹ bytes; ``GiB`` and a bare ``G`` are 2³⁰.
    """
    number = _bytes_from_text(value.strip()) if isinstance(value, str) else as_float(value)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(BYTES_RULE)
    return round(number)


def _bytes_from_text(text: str) -> float:
    match = _BYTES.fullmatch(text)
    if not match:
        return math.nan
    digits, prefix, unit = match.groups()
    step = 1000 if (unit or "").lower() == "b" else 1024
    return float(digits) * float(step ** (1 + _POWERS.index(prefix.lower())) if prefix else 1)


def number_or_text(text: str) -> float | str:
    """``text`` as a number, or itself where it is none, for a rule to refuse by its name."""
    try:
        return float(text)
    except ValueError:
        return text


def as_float(value: object) -> float:
    """``value`` as a float, NaN for anything that is no number, or one that is too large for any unit."""
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return math.nan


def format_duration(seconds: float) -> str:
    """The exact spelling that ``parse_duration`` reads back: ``1h30m``, ``2.5s``, ``5ms``."""
    if 0 < seconds < 1:
        return f"{seconds * 1000:.10g}ms"
    rest, parts = seconds, []
    for unit, size in _SECONDS.items():
        count = rest if unit == "s" else rest // size
        if count:
            parts.append(f"{count:.10g}{unit}")
            rest -= count * size
    return "".join(parts) or "0s"


def format_clock(seconds: float) -> str:
    """A running time for a display, whole seconds, two units at most: ``42s``, ``3m 05s``, ``1h 02m``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3_600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3_600}h {whole % 3_600 // 60:02d}m"


def format_count(count: float) -> str:
    """Three significant digits with a suffix, for a display: ``1.23M``, ``61.7k``, ``950``."""
    for suffix, factor in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= factor * 0.9995:
            return f"{count / factor:.3g}{suffix}"
    return f"{count:.3g}"


def format_combinations(count: int) -> str:
    """Exact below a million, ``2.1e7`` above; such counts outgrow floats."""
    return f"{count:,}" if count < 10**6 else f"{Decimal(count):.1e}".replace("e+", "e")


def format_bytes(count: float) -> str:
    """Bytes in binary units, three significant digits, for a display: ``512 MiB``, ``1.5 GiB``."""
    for suffix, shift in (("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 999.5 * 2 ** (shift - 10):
            return f"{count / 2**shift:.3g} {suffix}"
    return f"{count:.0f} B"
