"""Reading ahead: in order, no further than told, and without a thread that outlives its reader."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from convscout.trials.compute.read_ahead import read_ahead


def reading_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def await_that(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("count", [0, 1, 3, 50])
def test_values_come_in_order_and_the_threads_end(count: int, threads: int) -> None:
    def make(number: int) -> int:
        time.sleep(0.001 * (number % 3))
        return number**2

    drawn = read_ahead(make, range(count), ahead=5, threads=threads)
    assert list(drawn) == [number**2 for number in range(count)]
    assert not reading_threads()


def test_values_are_made_before_they_are_asked_for_and_not_too_many() -> None:
    made: list[int] = []
    drawn = read_ahead(made.append, range(10), ahead=2)
    next(drawn)
    await_that(lambda: len(made) == 3)
    time.sleep(0.02)
    assert made == [0, 1, 2]
    next(drawn)
    await_that(lambda: len(made) == 4)
    drawn.close()


def test_an_error_comes_in_the_place_of_its_value() -> None:
    drawn = read_ahead(lambda number: 6 // number, [3, 2, 0, 1])
    assert [next(drawn), next(drawn)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(drawn)
    assert not reading_threads()
    assert list(drawn) == []


def test_closing_stops_what_is_under_way() -> None:
    made: list[int] = []

    def make(number: int) -> None:
        time.sleep(0.05)
        made.append(number)

    drawn = read_ahead(make, range(100), ahead=10)
    next(drawn)
    drawn.close()
    assert not reading_threads()
    assert len(made) <= 2, "those that were only waiting must not be made"


def test_ctrl_c_in_the_reader_ends_the_threads() -> None:
    def reader() -> None:
        for number in read_ahead(lambda number: number, range(100)):
            if number == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reader()
    await_that(lambda: not reading_threads())
