"""Who begins and who gives way: a pure function of what waits, what runs and what the machine has."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from convscout.services.control.scheduling import Demand, Running, Schedule, Waiting, plan

MACHINE = Demand(cores=4, gpus=1)
SLICE_S = 60.0


def waiting(id: str, cores: int = 4, *, priority: int = 0, served_s: float = 0.0, at: float = 0.0) -> Waiting:
    demand = Demand(cores=cores, gpus=0)
    return Waiting(id=id, demand=demand, priority=priority, served_s=served_s, created_at=at)


def running(id: str | None, cores: int = 4, *, priority: int = 0, running_s: float = 0.0) -> Running:
    return Running(id=id, demand=Demand(cores=cores, gpus=0), priority=priority, running_s=running_s)


def test_what_fits_begins_in_the_order_of_its_turn() -> None:
    queue = [waiting("b", 2, at=2), waiting("a", 2, at=1), waiting("c", 2, at=3)]
    assert plan(MACHINE, queue, [], SLICE_S) == Schedule(start=("a", "b"))


def test_the_urgent_comes_first_then_who_had_least() -> None:
    queue = [
        waiting("served", served_s=50),
        waiting("fresh", at=9),
        waiting("urgent", priority=1, served_s=99),
    ]
    assert plan(MACHINE, queue, [], SLICE_S).start == ("urgent",)
    assert plan(MACHINE, queue[:2], [], SLICE_S).start == ("fresh",)


def test_nobody_passes_by_whose_turn_it_is() -> None:
    queue = [waiting("large", 4, at=1), waiting("small", 1, at=2)]
    assert plan(MACHINE, queue, [running("r", 2)], SLICE_S) == Schedule()


def test_a_lower_priority_gives_way_at_once_and_an_equal_one_after_its_slice() -> None:
    urgent, equal = [waiting("u", priority=1)], [waiting("e")]
    assert plan(MACHINE, urgent, [running("r")], SLICE_S) == Schedule(give_way=("r",))
    assert plan(MACHINE, equal, [running("r", running_s=59)], SLICE_S) == Schedule()
    assert plan(MACHINE, equal, [running("r", running_s=61)], SLICE_S) == Schedule(give_way=("r",))
    assert plan(MACHINE, equal, [running("r", priority=1, running_s=999)], SLICE_S) == Schedule()


def test_no_more_give_way_than_must() -> None:
    ran = [running("long", 2, running_s=500), running("longer", 2, running_s=900)]
    assert plan(MACHINE, [waiting("w", 2)], ran, SLICE_S).give_way == ("longer",)
    assert set(plan(MACHINE, [waiting("w", 4)], ran, SLICE_S).give_way) == {"long", "longer"}


def test_who_was_begun_by_hand_gives_way_to_nobody() -> None:
    assert plan(MACHINE, [waiting("w", priority=9)], [running(None, running_s=999)], SLICE_S) == Schedule()


def test_who_is_giving_way_already_is_not_asked_again() -> None:
    leaving = Running(id="r", demand=Demand(cores=4, gpus=0), priority=0, running_s=999, yielding=True)
    assert plan(MACHINE, [waiting("w")], [leaving], SLICE_S) == Schedule()


def test_what_is_larger_than_the_machine_has_it_alone() -> None:
    too_large = Waiting(id="w", demand=Demand(cores=64, gpus=0), priority=0, served_s=0, created_at=0)
    assert plan(MACHINE, [too_large], [], SLICE_S).start == ("w",)
    assert plan(MACHINE, [too_large], [running("r", 1, running_s=999)], SLICE_S).give_way == ("r",)


demands = st.builds(Demand, cores=st.integers(1, 4), gpus=st.integers(0, 1))


@given(
    st.lists(st.builds(Waiting, id=st.uuids().map(str), demand=demands, priority=st.integers(-2, 2),
                       served_s=st.floats(0, 100), created_at=st.floats(0, 100)), max_size=6),
    st.lists(st.builds(Running, id=st.uuids().map(str) | st.none(), demand=demands, priority=st.integers(-2, 2),
                       running_s=st.floats(0, 200), yielding=st.booleans()), max_size=3),
)  # fmt: skip
def test_the_machine_is_never_promised_twice(queue: list[Waiting], ran: list[Running]) -> None:
    todo = plan(MACHINE, queue, ran, SLICE_S)
    known = {each.id: each for each in queue}
    used = sum((each.demand for each in ran), Demand(cores=0, gpus=0))
    taken = used
    for id in todo.start:
        taken += known[id].demand
    assert not todo.start or taken.within(MACHINE) or used == Demand(cores=0, gpus=0)
    by_id = {each.id: each for each in ran}
    assert not any(by_id[id].yielding for id in todo.give_way)
    if todo.give_way:  # only for one who could not begin, and only who may be asked
        first = min((each for each in queue if each.id not in todo.start), key=lambda each: each.rank)
        assert all(by_id[id].priority <= first.priority for id in todo.give_way)
