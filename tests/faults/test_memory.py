"""Row 19 of the faults: a network that the machine has no memory for fails alone, and the study goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from convscout.services.config.home import Home
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies.check import check
from convscout.trials.config import TrialState
from tests.support.studies import bundle_alone
from tests.support.victim import STUDY, Victim

OPTIONS = {
    "trials": 4,
    "epochs": 1,
    "seed": 1,
    "portfolio": False,
    "space": {"lenet.width": {"choices": [4, 700]}, "lenet.growth": 2.0, "recipe.batch_size": 256},
}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@bundle_alone()
def test_a_network_that_memory_has_no_room_for_fails_alone(tmp_path: Path) -> None:
    victim = Victim(tmp_path / "home", OPTIONS)
    assert victim.live(memory=900 * 2**20) == 0, victim.log
    home = Home(victim.home)
    for record in Ledger.open(home.study(STUDY)).trials():
        assert record.config is not None
        large = record.config.flat()["lenet.width"] == 700
        assert record.state is (TrialState.FAILED if large else TrialState.COMPLETED), record.reason
        assert not large or "memory" in record.reason
    assert check(home.study(STUDY)) == []
