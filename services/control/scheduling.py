"""Slots: what studies share of this machine, and which of those that wait may begin or must give way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What one study takes: ``cores`` and ``gpus``."""

    cores: int
    gpus: int

    def __add__(self, other: Demand) -> Demand:
        return Demand(cores=self.cores + other.cores, gpus=self.gpus + other.gpus)

    def within(self, other: Demand) -> bool:
        """Whether it is no more than ``other`` of either."""
        return self.cores <= other.cores and self.gpus <= other.gpus


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A job that waits; ``served_s`` is how many seconds its study has run so far, in all."""

    id: str
    demand: Demand
    priority: int
    served_s: float
    created_at: float

    @property
    def rank(self) -> tuple[float, ...]:
        """Whose turn it is: the most urgent, then who has had the least, then who came first."""
        return -self.priority, self.served_s, self.created_at


@dataclass(frozen=True, kw_only=True)
class Running:
    """A study that runs since ``running_s`` seconds; one that does not belong to a job (None) gives way to nobody."""

    id: str | None
    demand: Demand
    priority: int
    running_s: float
    yielding: bool = False


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What is to be done now: the jobs to ``start`` and those that ``give_way``, by id."""

    start: tuple[str, ...] = ()
    give_way: tuple[str, ...] = ()


def plan(machine: Demand, waiting: Sequence[Waiting], running: Sequence[Running], slice_s: float) -> Schedule:
    """Who begins and who gives way.

    Whose turn it is begins as soon as what it needs is free, and nobody passes it by, so that small studies do not keep
    a large one waiting for ever. To make room, studies of a lower priority pause at once, and those of the same one
    after they have run for ``slice_s`` seconds; each goes on when it is its turn again.
    """
    used = sum((each.demand for each in running), Demand(cores=0, gpus=0))
    start: list[str] = []
    for job in sorted(waiting, key=lambda each: each.rank):
        if (used + job.demand).within(machine) or not (used.cores or used.gpus):
            start.append(job.id)
            used += job.demand
            continue
        return Schedule(start=tuple(start), give_way=_room_for(job, machine, used, running, slice_s))
    return Schedule(start=tuple(start))


def _room_for(
    job: Waiting, machine: Demand, used: Demand, running: Sequence[Running], slice_s: float
) -> tuple[str, ...]:
    """Who must pause so that ``job`` fits; nobody, where it would not fit even so."""

    def may_pause(each: Running) -> bool:
        return each.priority < job.priority or (each.priority == job.priority and each.running_s >= slice_s)

    leaving = [each for each in running if each.yielding]
    candidates = [each for each in running if each.id and not each.yielding and may_pause(each)]
    chosen: list[str] = []
    for each in [*leaving, *sorted(candidates, key=lambda one: (one.priority, -one.running_s))]:
        if (used + job.demand).within(machine):
            break
        used = Demand(cores=used.cores - each.demand.cores, gpus=used.gpus - each.demand.gpus)
        if not each.yielding and each.id:
            chosen.append(each.id)
    return tuple(chosen) if (used + job.demand).within(machine) or used.cores <= 0 else ()
