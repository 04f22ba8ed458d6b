"""Durations and counts survive a round trip, and nonsense is refused with the rule."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convscout.services.config.units import (
    BYTES_RULE,
    COUNT_RULE,
    DURATION_RULE,
    format_bytes,
    format_clock,
    format_count,
    format_duration,
    parse_bytes,
    parse_count,
    parse_duration,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("2H", 7200),
        (" 1d ", 86400),
        ("1.5m", 90),
        ("5ms", 0.005),
        ("1s500ms", 1.5),
        ("45", 45),
        (2.5, 2.5),
    ],
)
def test_durations_are_read(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "m", "10x", "-5s", "30m1h", "1h 30m", "nan", "inf", "ten", math.nan, math.inf, -1, True, None, []],
)
def test_a_broken_duration_is_refused_with_the_rule(text: object) -> None:
    with pytest.raises(ValueError) as raised:
        parse_duration(text)
    assert str(raised.value) == DURATION_RULE


@given(st.integers(0, 10**8).map(lambda tenths: tenths / 10))
def test_a_formatted_duration_is_read_back(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("300k", 300_000),
        ("1.5M", 1_500_000),
        ("1e6", 1_000_000),
        ("2g", 2 * 10**9),
        ("1_000", 1000),
        (7, 7),
        (7.0, 7),
    ],
)
def test_counts_are_read(text: object, count: int) -> None:
    assert parse_count(text) == count
    assert isinstance(parse_count(text), int)


@pytest.mark.parametrize(
    "text", ["", "k", "1.5", "-3", "1e999", "1.5x", "many", math.nan, math.inf, 1.5, True, None]
)
def test_a_broken_count_is_refused_with_the_rule(text: object) -> None:
    with pytest.raises(ValueError) as raised:
        parse_count(text)
    assert str(raised.value) == COUNT_RULE


def test_numbers_are_shown_with_three_digits() -> None:
    shown = [format_count(n) for n in (0, 950, 999.7, 61_706, 1_234_567, 999_990, 2e9)]
    assert shown == ["0", "950", "1k", "61.7k", "1.23M", "1M", "2G"]
    assert [format_bytes(n) for n in (0, 900, 2**20, 1020 * 2**20, 1.5 * 2**30)] == [
        "0 B", "900 B", "1 MiB", "0.996 GiB", "1.5 GiB"
    ]  # fmt: skip


def test_a_clock_shows_two_units() -> None:
    assert [format_clock(s) for s in (-3, 42.4, 59.6, 185, 3599.7, 3720)] == [
        "0s", "42s", "1m 00s", "3m 05s", "1h 00m", "1h 02m"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("2GiB", 2 * 2**30), ("2G", 2 * 2**30), ("1.5 gb", 1_500_000_000), ("500MB", 500_000_000),
        ("64k", 65_536), ("1024", 1024), ("7B", 7), (4096, 4096),
    ],
)  # fmt: skip
def test_bytes_are_read(text: object, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "G", "2X", "-1G", "2Gi B", "nan", math.nan, -1, True, None])
def test_broken_bytes_are_refused_with_the_rule(text: object) -> None:
    with pytest.raises(ValueError) as raised:
        parse_bytes(text)
    assert str(raised.value) == BYTES_RULE


@pytest.mark.parametrize(("seconds", "text"), [(0.005, "5ms"), (0.25, "250ms"), (90.5, "1m30.5s")])
def test_durations_are_spelled_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
    assert parse_duration(text) == seconds
