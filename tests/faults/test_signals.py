"""Row 25 of the faults: Ctrl-C and SIGTERM, once and twice.

Exit code 130, the next command, and nothing lost: the resumed study ends as one that ran undisturbed.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.studies import bundle_alone
from tests.support.victim import Victim

OPTIONS = {"trials": 2, "epochs": 15, "ensemble_strategy": "greedy"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """A study of bundles alone, as all are that are compared with it."""
    with bundle_alone():
        victim = Victim(tmp_path_factory.mktemp("undisturbed") / "home", OPTIONS)
        assert victim.live() == 0, victim.log
        yield victim


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "signals", [(signal.SIGINT,), (signal.SIGTERM,), (signal.SIGINT, signal.SIGINT)], ids=str
)
def test_a_signal_ends_the_search_and_a_resume_goes_on(
    signals: tuple[signal.Signals, ...], undisturbed: Victim, tmp_path: Path
) -> None:
    victim = Victim(tmp_path / "home", OPTIONS)
    process = victim.start()
    while not list(victim.home.glob("studies/*/trials/*/epoch-*")):
        assert process.poll() is None, victim.log
        time.sleep(0.02)
    for number in signals:
        process.send_signal(number)
        time.sleep(0.1)
    assert process.wait(100) == 130, victim.log
    if len(signals) == 1:
        assert "was interrupted; every finished epoch is kept" in victim.log
        assert f"next: convscout resume tiny --home {victim.home}" in victim.log
    assert victim.live() == 0, victim.log
    assert victim.complaints(undisturbed) == []
