"""Rows 9 to 11 of the faults: a disk that is full, in the ledger or in a checkpoint, or only to be read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from convscout.search_space.errors import ConvscoutError
from convscout.services.cli import main
from convscout.services.config.home import Home
from convscout.services.events.events import EpochEnded, Event, Listener, PhaseStarted
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies import run
from convscout.services.studies.check import check
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.config import TrialState
from tests.support.small_disk import small_disk
from tests.support.studies import bundle_alone, essences, quiet, tiny_config
from tests.support.victim import Victim

NAME = "tiny"
MEGABYTES = 24
Moment = Callable[[Event], bool]


def _second_epoch_of_the_second_trial(event: Event) -> bool:
    return isinstance(event, EpochEnded) and (event.trial.number, event.measurement.epoch) == (1, 2)


def _export(event: Event) -> bool:
    return isinstance(event, PhaseStarted) and event.phase == "export"


def _at(moment: Moment, action: Callable[[], None]) -> Listener:
    def listener(event: Event) -> None:
        if moment(event):
            action()

    return listener


@pytest.fixture(scope="module", autouse=True)
def _bundles() -> Iterator[None]:
    with bundle_alone():
        yield


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    home = tmp_path_factory.mktemp("undisturbed")
    run.search(tiny_config(NAME, epochs=4), Home(home), quiet, time.time())
    return essences(home, NAME)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("moment", [_second_epoch_of_the_second_trial, _export])
def test_a_full_disk_stops_the_study_until_there_is_room(
    moment: Moment, undisturbed: list[tuple[object, ...]], tmp_path: Path
) -> None:
    with small_disk(tmp_path / "home", MEGABYTES) as disk:
        home = Home(disk.root)
        with pytest.raises(ConvscoutError) as raised:
            run.search(tiny_config(NAME, epochs=4), home, _at(moment, disk.fill), time.time())
        assert raised.value.next_command == f"convscout resume {NAME}", "I6"
        assert len(raised.value.message.splitlines()) == 1, "I6"
        disk.free()
        ended = [r for r in Ledger.open(home.study(NAME)).trials() if r.state is not TrialState.RUNNING]
        assert all(record.state is TrialState.COMPLETED for record in ended), "I1"
        run.resume(home.study(NAME), quiet, time.time())
        assert check(home.study(NAME)) == []
        assert essences(disk.root, NAME) == undisturbed, "I1"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_full_disk_of_checkpoints_keeps_the_previous_one(
    undisturbed: list[tuple[object, ...]], tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    with small_disk(home.root / "studies", MEGABYTES) as disk:
        fill = _at(_second_epoch_of_the_second_trial, disk.fill)
        with pytest.raises(ConvscoutError, match="trial 1 cannot go on: No space left on device"):
            run.search(tiny_config(NAME, epochs=4), home, fill, time.time())
        kept = TrialDirectory(home.study(NAME).trial(1))
        state = kept.load_epoch()
        assert state is not None and state["epoch"] >= 1, "I5"
        assert all(kept.inspect().values()), "I5"
        disk.free()
        run.resume(home.study(NAME), quiet, time.time())
        assert check(home.study(NAME)) == []
        assert essences(home.root, NAME) == undisturbed, "I2"


@pytest.mark.parametrize("begun", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["new", "begun"])
def test_a_disk_that_is_only_to_be_read_is_told_before_any_training(
    begun: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_disk(tmp_path / "home", MEGABYTES) as disk:
        arguments = ["search", "--data", "digits", "--study", NAME, "--trials", "1"]
        if begun:
            victim = Victim(
                disk.root, {"trials": 1, "epochs": 1}
            )  # elsewhere, as no file may be open for writing
            assert victim.live() == 0, victim.log
            arguments = ["resume", NAME, "--trials", "2"]
        disk.allow("ro")
        with pytest.raises(SystemExit) as raised:
            main([*arguments, "--home", str(disk.root)])
        disk.allow("rw")
        told = capsys.readouterr().err
        assert raised.value.code == 1, "I6"
        assert ("Read-only file system" in told) if begun else ("may not be written to" in told), "I6"
        assert "next: convscout" in told, "I6"
        assert "Traceback" not in told and "trial 0" not in told
        assert not begun or check(Home(disk.root).study(NAME)) == []
