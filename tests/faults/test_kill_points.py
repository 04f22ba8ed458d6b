"""Row 2 of the faults: the process dies just before, and just after, each kind of durable write.

I1 to I5: after a resume every trial is as if nothing had happened, and ``check`` has nothing to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from convscout.services.config.home import Home
from convscout.services.ledger.ledger import Ledger
from convscout.services.search.command_queue import ENQUEUE, RETRY, Command, CommandQueue
from convscout.trials.checkpoints.kill_points import EXIT_CODE, Write
from convscout.trials.config import TrialState
from tests.support.studies import bundle_alone
from tests.support.victim import STUDY, Victim, complaints_of

OPTIONS = {"trials": 5, "epochs": 3, "pruner": "asha", "ensemble_size": 2, "ensemble_strategy": "greedy"}
SIDES = ("before", "after")
# Where several of a kind differ in what they are: a claim, a best epoch, an epoch state; what is noted at the end;
# the report and the export.
COUNTS = {
    Write.RENAME: (1, 2, 3),
    Write.NOTE: (1, 2, 3, 4),
    Write.CLOCK: (1, 2),
    Write.EXPORT: (1, 2),
}
IN_A_RUN = [write for write in Write if write not in (Write.ADOPT, Write.REOPEN, Write.LOSE, Write.OBEY)]
POINTS = [f"{write}:{count}" for write in IN_A_RUN for count in COUNTS.get(write, (1,))]
TWICE = [f"{write}:1" for write in (Write.REOPEN, Write.OBEY)]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """A study of bundles alone, as all are that are compared with it."""
    with bundle_alone():
        victim = Victim(tmp_path_factory.mktemp("undisturbed") / "home", OPTIONS)
        assert victim.live() == 0, victim.log
        yield victim


def test_dying_before_and_after_any_write_changes_nothing(undisturbed: Victim, tmp_path: Path) -> None:
    def die_twice(point: str) -> Iterator[str]:
        victim = Victim(tmp_path / point, OPTIONS)
        if (code := victim.live(kill_at=f"before-{point}")) != EXIT_CODE:
            yield f"it did not come to this, but ended with {code}: {victim.log}"
        before = victim.finished
        # what was to be written may need no second time, or fewer of its kind are written in a resume
        if victim.live(kill_at=f"after-{point.partition(':')[0]}:1") not in (EXIT_CODE, 0):
            yield f"it failed: {victim.log}"
        if not before.items() <= victim.finished.items():
            yield "I1: a finished trial was lost or changed"
        if victim.live() != 0:
            yield f"it failed: {victim.log}"
        yield from victim.complaints(undisturbed)

    assert complaints_of(die_twice, POINTS) == {}


def test_dying_while_an_unfinished_trial_is_taken_up_changes_nothing(
    undisturbed: Victim, tmp_path: Path
) -> None:
    victim = Victim(tmp_path / "home", OPTIONS)
    for point in ("after-report:2", "before-adopt:1", "after-adopt:1"):
        assert victim.live(kill_at=point) == EXIT_CODE, victim.log
    assert victim.live() == 0, victim.log
    assert victim.complaints(undisturbed) == []


@bundle_alone()
def test_a_message_that_is_read_twice_comes_to_the_same(tmp_path: Path) -> None:
    asked = Victim(tmp_path / "asked", OPTIONS)
    assert asked.live() == 0, asked.log
    _ask(asked)
    assert asked.live("--trials", "+1") == 0, asked.log

    def die(point: str) -> Iterator[str]:
        victim = Victim(tmp_path / point, OPTIONS)
        if victim.live() != 0:
            yield f"it failed: {victim.log}"
        _ask(victim)
        if (code := victim.live("--trials", "+1", kill_at=point)) != EXIT_CODE:
            yield f"it did not come to this, but ended with {code}: {victim.log}"
        if victim.live() != 0:
            yield f"it failed: {victim.log}"
        yield from victim.complaints(asked)

    assert complaints_of(die, [f"{side}-{write}" for write in TWICE for side in SIDES]) == {}


def _ask(victim: Victim) -> None:
    """Leave messages that a resume finds: let a stopped trial go on, and train a network made by hand."""
    ledger = Ledger.open(Home(victim.home).study(STUDY))
    stopped = next(record.number for record in ledger.trials() if record.state is TrialState.STOPPED)
    inbox = CommandQueue(ledger.home.study(STUDY))
    inbox.put(Command(kind=RETRY, content={"number": stopped}))
    inbox.put(Command(kind=ENQUEUE, content={"family": "lenet", "lenet.depth": 3}))
