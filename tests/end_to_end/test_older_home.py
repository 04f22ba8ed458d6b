"""A home that an earlier version wrote opens, verifies, predicts and goes on under this one."""

from __future__ import annotations

import sqlite3
import tarfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import convscout
from convscout.search_space.errors import ConfigError
from convscout.services.config.home import Home
from convscout.services.export.verify import verify_export
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies import results, run
from convscout.services.studies.check import check
from convscout.services.studies.outcome import load_outcome
from convscout.services.tracking.relocation import settle
from convscout.trials.config import TrialState
from convscout.trials.evaluation.metrics import accuracy
from tests.support.places import ROOT
from tests.support.studies import bundle_alone, essences, quiet

HOMES = ROOT / "tests" / "end_to_end" / "homes"
WRITTEN_AT = "/runs"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """The older home, as if it had been written where it lies now."""
    found = _extracted(tmp_path)
    for name in ("convscout.db", "mlflow.db"):
        _moved(found.root / name, found.root)
    return found


def _extracted(directory: Path) -> Home:
    with tarfile.open(HOMES / "flat-services.tar.xz") as archive:
        archive.extractall(directory, filter="data")
    return Home(directory / "runs")


def _moved(database: Path, root: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for _, column, *_ in connection.execute(f"PRAGMA table_info('{table}')").fetchall():
                connection.execute(
                    f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) '
                    f'WHERE typeof("{column}") = \'text\' AND instr("{column}", ?)',
                    (f"{WRITTEN_AT}/", f"{root}/", f"{WRITTEN_AT}/"),
                )


def test_it_is_whole(home: Home) -> None:
    assert {*Ledger.names(home)} == {"finished", "interrupted"}
    assert check(home.study("finished")) == check(home.study("interrupted")) == []


def test_it_may_lie_elsewhere_than_where_it_was_written(tmp_path: Path) -> None:
    home, told = _extracted(tmp_path), list[str]()
    ref = home.study("finished")
    outcome = load_outcome(Ledger.open(ref))
    assert outcome is not None and outcome.export == ref.export
    assert [finding.where for finding in check(ref)] == ["MLflow"]
    settle(home, told.append)
    assert len(told) == 1 and f"file://{WRITTEN_AT}/mlflow-artifacts" in told[0]
    assert check(ref) == []


def test_its_export_verifies_and_predicts(home: Home) -> None:
    study = convscout.load_study("finished", home=home.root)
    outcome = study.outcome
    assert outcome is not None and outcome.export == study.directory
    assert {"bundle", "onnx"} <= verify_export(study.directory).keys()
    digits = load_digits()
    answers = study.predict((digits.images * 15).astype(np.uint8)[..., None])
    assert accuracy(answers, digits.target) > outcome.score("ensemble", "test") - 0.1


@pytest.mark.parametrize(
    ("name", "changes", "trials"), [("interrupted", {}, 3), ("finished", {"trials": "+1"}, 3)]
)
def test_it_goes_on(home: Home, name: str, changes: dict[str, str], trials: int) -> None:
    before = essences(home.root, name)
    with bundle_alone():
        with pytest.raises(ConfigError, match=r"code: must be what study .* began with"):
            run.resume(home.study(name), quiet, time.time(), changes=changes)
        assert essences(home.root, name) == before
        run.resume(home.study(name), quiet, time.time(), changes=changes, accept_changes=True)
        results.sync(home.study(name), quiet)  # which MLflow may lack on a machine that has much else to do
        assert check(home.study(name)) == []
    records = Ledger.open(home.study(name)).trials()
    assert [record.state for record in records] == [TrialState.COMPLETED] * trials
    ended = [each for each in before if each[1] is TrialState.COMPLETED]
    assert ended and essences(home.root, name)[: len(ended)] == ended
