"""Rows 21 and 22 of the faults: a checkpoint of an unfinished trial is cut off or has a flipped bit when it is resumed.

It is never loaded: the trial goes on from the state before it, or from its beginning when its best epoch is lost, and
ends as one that ran undisturbed. Files of finished trials: ``test_check.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from convscout.services.config.home import Home
from convscout.services.studies.check import check
from convscout.trials.checkpoints.kill_points import EXIT_CODE
from tests.support.studies import bundle_alone
from tests.support.victim import STUDY, Victim, complaints_of

OPTIONS = {"trials": 2, "epochs": 4, "ensemble_strategy": "greedy"}


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "flip":
        content[len(content) // 2] ^= 1
    path.write_bytes(content[: int(len(content) * {"flip": 1.0, "half": 0.5, "tail": 0.999}[how])])


@pytest.mark.slow
@pytest.mark.timeout(1800)
@bundle_alone()
def test_a_damaged_checkpoint_is_never_gone_on_with(tmp_path: Path) -> None:
    undisturbed = Victim(tmp_path / "undisturbed", OPTIONS)
    assert undisturbed.live() == 0, undisturbed.log

    def spoil(case: str) -> Iterator[str]:
        kind, how = case.split()
        victim = Victim(tmp_path / case, OPTIONS)
        if victim.live(kill_at="before-report:7") != EXIT_CODE:
            yield f"it did not come to this: {victim.log}"
        newest = max(victim.home.glob(f"studies/{STUDY}/trials/00001/{kind}-*"))
        damage(newest, how)
        if not any(newest.name in finding.what for finding in check(Home(victim.home).study(STUDY))):
            yield "check did not see it"
        if victim.live() != 0:
            yield f"it failed: {victim.log}"
        yield from victim.complaints(undisturbed)

    assert complaints_of(spoil, ["epoch half", "epoch tail", "epoch flip", "best half", "best flip"]) == {}
