"""Sides: ways of doing the same work, each in a process of its own, that are told to do a lap in turn."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from statistics import median
from typing import Any, TypeAlias

import psutil
import torch

import convscout.services.executors  # noqa: F401  # sets what its workers' C library reads, so that the sides have it too

# Sides are forked from one server, which imports once what each would import for seconds. The parent may have a GPU
# at work, which a fork of itself could not use.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["benchmarks.loops"])

Lap: TypeAlias = Callable[[], float]
"""Does the work once; returns the seconds that counted."""


@dataclass(frozen=True, kw_only=True)
class Time:
    """What a lap took: ``wall_s`` by the clock, ``cpu_s`` of all cores, by its process and those it started."""

    wall_s: float
    cpu_s: float


class Side:
    """A process that builds a lap once and then runs it whenever it is told to."""

    def __init__(
        self,
        build: Callable[..., Lap],
        *args: Any,
        threads: int,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._pipe, theirs = _context.Pipe()
        self._process = _context.Process(
            target=_serve, args=(theirs, threads, environment or {}, build, args), daemon=False
        )
        self._process.start()
        theirs.close()

    def start(self) -> None:
        """Begin a lap."""
        self._pipe.send(True)

    def result(self) -> Time:
        """Wait for the lap that was begun."""
        time_taken: Time = self._pipe.recv()
        return time_taken

    def lap(self) -> Time:
        """One lap."""
        self.start()
        return self.result()

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join()


@contextmanager
def running(sides: Mapping[str, Callable[[], Side]]) -> Iterator[dict[str, Side]]:
    """Every side, warmed up by one lap; their processes end with the block."""
    with ExitStack() as stack:
        started: dict[str, Side] = {}
        for name, make in sides.items():
            started[name] = make()
            stack.callback(started[name].close)
        for side in started.values():
            side.lap()
        yield started


def in_turn(sides: Mapping[str, Side], repeats: int) -> dict[str, list[Time]]:
    """``repeats`` laps of each side, one side at a time; whoever was first is last in the next round."""
    times: dict[str, list[Time]] = {name: [] for name in sides}
    order = list(sides)
    for _ in range(repeats):
        for name in order:
            times[name].append(sides[name].lap())
        order = [*order[1:], order[0]]
    return times


def typical(times: list[Time]) -> Time:
    """The medians."""
    return Time(wall_s=median(t.wall_s for t in times), cpu_s=median(t.cpu_s for t in times))


def _serve(
    pipe: Connection,
    threads: int,
    environment: Mapping[str, str],
    build: Callable[..., Lap],
    args: tuple[Any, ...],
) -> None:
    os.environ.update(environment)
    torch.set_num_threads(threads)
    lap = build(*args)
    while _told(pipe):
        before = _cpu_s()
        wall_s = lap()
        pipe.send(Time(wall_s=wall_s, cpu_s=_cpu_s() - before))


def _told(pipe: Connection) -> bool:
    try:
        return bool(pipe.recv())
    except EOFError:
        return False


def _cpu_s() -> float:
    """CPU seconds so far of this process and of those it started."""
    this = psutil.Process()
    return sum(sum(p.cpu_times()[:2]) for p in (this, *this.children(recursive=True)))


def clock(work: Callable[[], object]) -> float:
    """Seconds that ``work`` takes, and what it left to a GPU."""
    began = time.perf_counter()
    work()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter() - began
