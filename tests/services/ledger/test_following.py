"""A study that another process runs can be followed: what it has written since is read, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from convscout.search_space.errors import StudyNotFoundError
from convscout.services.config.home import Home
from convscout.services.ledger import tables as study_tables
from convscout.services.ledger.database import open_storage
from convscout.services.ledger.lease import lease
from convscout.services.ledger.ledger import Ledger
from convscout.services.ledger.tables import remove_study
from convscout.trials.config import TrialConfig
from convscout.trials.end_reason import EndReason
from tests.support.records import measurement
from tests.support.sampled import COST, NEVER, WHOLE, factory, imagine, new_study, smooth, task_of

RANDOM = factory(task_of("random"), "random")


def _told(ledger: Ledger) -> list[dict[str, Any]]:
    return [record.to_dict() for record in ledger.trials()]


def _begun(ledger: Ledger) -> int:
    """A trial that is committed and runs; its number."""
    proposal = ledger.propose(WHOLE, RANDOM)
    architecture, recipe = proposal.candidate
    config = TrialConfig(
        number=proposal.number, attempt=1, dataset="f" * 64, architecture=architecture, recipe=recipe, seed=7
    )
    ledger.commit(config, COST)
    return proposal.number


@pytest.fixture
def home(tmp_path: Path) -> Home:
    new_study(tmp_path, task_of("random"))
    Home(tmp_path).study("tiny").directory.mkdir(parents=True)
    return Home(tmp_path)


def test_whoever_follows_sees_what_one_who_opens_it_anew_does(home: Home) -> None:
    follower = Ledger.open(home.study("tiny"))
    with lease(home.study("tiny")) as fence:
        owner = Ledger.open(home.study("tiny"), fence)

        def check() -> None:
            follower.refresh()
            assert _told(follower) == _told(owner) == _told(Ledger.open(home.study("tiny")))

        imagine(owner, WHOLE, RANDOM, smooth)
        check()
        number = _begun(owner)
        check()
        owner.report(number, 1, measurement(1, 0.5), NEVER)
        check()
        owner.finish(number, 1, EndReason.BY_HAND, "stopped")
        check()
        owner.reopen(number)
        check()
        owner.report(number, 1, measurement(2, 0.6), NEVER)
        owner.finish(number, 1, EndReason.BY_HAND, "stopped again")
        check()
        owner.enqueue({"family": "lenet"})
        owner.set_note("remark", {"a": 1})
        check()
        assert follower.note("remark") == {"a": 1}
        assert follower.holder is not None
    follower.refresh()
    assert follower.holder is None


def test_a_look_at_what_did_not_change_reads_one_row_and_a_later_one_what_is_new(home: Home) -> None:
    with lease(home.study("tiny"), lapse_s=60) as fence:
        owner = Ledger.open(home.study("tiny"), fence)
        for _ in range(12):
            imagine(owner, WHOLE, RANDOM, smooth)
        follower = Ledger.open(home.study("tiny"))
        known = {record.number: record for record in follower.trials()}
        loaded: list[int] = []
        real = study_tables._load_trials

        def counting(*arguments: Any) -> Any:
            found = real(*arguments)
            loaded.append(len(found))
            return found

        with patch.object(study_tables, "_load_trials", counting):
            imagine(owner, WHOLE, RANDOM, smooth)
            assert follower.refresh()
            assert loaded == [1]
        assert all(follower.trial(number) is record for number, record in known.items())


def test_a_study_that_is_gone_is_said_to_be(home: Home) -> None:
    follower = Ledger.open(home.study("tiny"))
    remove_study(open_storage(home), "tiny")
    with pytest.raises(StudyNotFoundError, match="gone"):
        follower.refresh()
