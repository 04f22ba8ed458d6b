"""``convscout check``: it names what is wrong with a study, mends what can be mended, and is silent otherwise."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking.client import MlflowClient

from convscout.search_space.errors import StudyLockedError
from convscout.services.cli import main
from convscout.services.config.home import Home
from convscout.services.events.events import EpochEnded, Event
from convscout.services.ledger.lease import lease
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies import check as checking
from convscout.services.studies import run as study_run
from convscout.services.studies.audits.finding import Finding
from convscout.services.studies.check import check
from convscout.services.studies.outcome import load_outcome
from convscout.services.studies.repair import repair
from convscout.services.tracking.store import TrackingStore
from convscout.services.tracking.tags import TRIAL_TAG
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.config import TrialState
from tests.support.studies import blank_pictures, bundle_alone, essences, quiet, tiny_config

NAME = "tiny"
OPTIONS = {"trials": 4, "epochs": 3, "pruner": "median"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a study that was searched to its end."""
    home = tmp_path_factory.mktemp("finished") / "home"
    with blank_pictures():
        study_run.search(tiny_config(NAME, **OPTIONS), Home(home), quiet, time.time())
    return home


@pytest.fixture
def home(finished: Path) -> Home:
    """The same study, in its place, as it was when it ended."""
    copy = finished.with_name("copy")
    if not copy.exists():
        shutil.copytree(finished, copy)
    shutil.rmtree(finished)
    shutil.copytree(copy, finished)
    for engine in SqlAlchemyStore._engine_map.values():
        engine.dispose()  # MLflow would go on with the file that was removed
    return Home(finished)


def _found(home: Home) -> list[tuple[str, str]]:
    return [(finding.where, finding.what) for finding in check(home.study(NAME))]


def _member(home: Home) -> int:
    """A trial of the ensemble."""
    outcome = load_outcome(Ledger.open(home.study(NAME)))
    assert outcome is not None
    return outcome.ensemble.members[0].number


def _best_file(home: Home) -> Path:
    path = TrialDirectory(home.study(NAME).trial(_member(home))).best_file()
    assert path is not None
    return path


def _flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _snapshot(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_a_study_that_ended_is_as_it_should_be_and_looking_changes_nothing(home: Home) -> None:
    before = _snapshot(home.root)
    assert check(home.study(NAME)) == []
    assert _snapshot(home.root) == before


def test_a_missing_tracking_database_is_found_and_not_made(home: Home) -> None:
    (home.root / "mlflow.db").unlink()
    assert _found(home) == [("MLflow", "MLflow knows nothing of the study")]
    assert not (home.root / "mlflow.db").exists()


def _leave_leftovers(home: Home) -> None:
    study = home.study(NAME).directory
    (study / "trials" / f"{_member(home):05d}" / ".epoch-0001.0.pt.77.tmp").write_text("half")
    (study / ".export.77.tmp").mkdir()
    (study / ".export.77.tmp" / "model.onnx").write_text("half")


def _orphan_a_directory(home: Home) -> None:
    shutil.copytree(home.study(NAME).trial(_member(home)), home.study(NAME).trial(77))


def _leave_open(home: Home) -> None:
    TrialDirectory(home.study(NAME).trial(_member(home))).path.joinpath("attempt").write_text("1")


def _damage_the_export(home: Home) -> None:
    _flip_bit(home.study(NAME).export / "model.onnx")


def _lose_the_export(home: Home) -> None:
    shutil.rmtree(home.study(NAME).export)


def _export_another_ensemble(home: Home) -> None:
    with lease(home.study(NAME)) as fence:
        ledger = Ledger.open(home.study(NAME), fence)
        outcome = ledger.note("outcome")
        (first, *_) = outcome["ensemble"]["members"]
        ledger.set_note(
            "outcome", outcome | {"ensemble": outcome["ensemble"] | {"members": [first | {"weight": 1.0}]}}
        )


def _change_a_value_in_mlflow(home: Home) -> None:
    client, run_id = _run_of(home, _member(home))
    client.log_metric(run_id, "val_loss", 0.5, step=2)


def _lose_a_run_in_mlflow(home: Home) -> None:
    client, run_id = _run_of(home, _member(home))
    client.delete_run(run_id)


def _run_of(home: Home, number: int) -> tuple[MlflowClient, str]:
    store = TrackingStore.at(home)
    client = store.client()
    (experiment,) = client.search_experiments(filter_string=f"name = '{NAME}'")
    (run,) = client.search_runs([experiment.experiment_id], f"tags.`{TRIAL_TAG}` = '{number}'")
    return client, run.info.run_id


@pytest.mark.parametrize(
    ("spoil", "where", "what"),
    [
        (_leave_leftovers, ".export.77.tmp", "is a leftover of a killed process"),
        (_orphan_a_directory, "trials/00077", "belongs to no trial of the ledger"),
        (_leave_open, "trial", "but its directory is open to further epochs"),
        (_damage_the_export, "export", "model.onnx is damaged or was changed"),
        (_lose_the_export, "export", "is not a directory"),
        (_export_another_ensemble, "export", "but the ledger's ensemble is"),
        (_change_a_value_in_mlflow, "MLflow", "metric val_loss"),
        (_lose_a_run_in_mlflow, "MLflow", "has no run in MLflow"),
    ],
)
def test_what_is_spoilt_is_named_and_mended(
    spoil: Callable[[Home], None], where: str, what: str, home: Home
) -> None:
    trials = essences(home.root, NAME)
    spoil(home)
    found = check(home.study(NAME))
    assert any(where in each.where and what in each.what for each in found), found
    assert all(each.mend for each in found)
    assert set(repair(home.study(NAME), quiet)) >= set(found)
    assert check(home.study(NAME)) == []
    assert essences(home.root, NAME) == trials, "I1"


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    "damage", [_flip_bit, *(pytest.param(each, marks=pytest.mark.slow) for each in (_cut, Path.unlink))]
)
def test_a_lost_best_epoch_is_trained_again_and_comes_out_the_same(
    damage: Callable[[Path], None], home: Home
) -> None:
    trials, best, number = essences(home.root, NAME), _best_file(home), _member(home)
    damage(best)
    assert (f"trial {number}", "its best epoch") in [
        (where, what.partition(",")[0]) for where, what in _found(home)
    ]
    repair(home.study(NAME), quiet)
    assert check(home.study(NAME)) == []
    assert Ledger.open(home.study(NAME)).trial(number).state is TrialState.RUNNING
    study_run.resume(home.study(NAME), quiet, time.time())
    assert check(home.study(NAME)) == []
    assert essences(home.root, NAME) == trials, "I1"
    assert _best_file(home) == best and best.exists()


@pytest.mark.slow
@bundle_alone()
def test_a_study_that_runs_is_left_alone_and_complained_of_only_with_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "SECOND_LOOK_S", 0.0)
    home, found, planted = Home(tmp_path), list[Finding](), list[Finding]()

    def look(event: Event) -> None:
        if not isinstance(event, EpochEnded):
            return
        found.extend(check(home.study(NAME)))
        if event.trial.number == 1 and not planted:
            with pytest.raises(StudyLockedError, match="is being run by process"):
                repair(home.study(NAME), quiet)
            _orphan = home.study(NAME).trial(77)
            _orphan.mkdir()
            planted.extend(check(home.study(NAME)))
            _orphan.rmdir()

    study_run.search(tiny_config(NAME, trials=3, epochs=2), home, look, time.time())
    assert found == []
    assert [each.where for each in planted] == ["trials/00077"]


@pytest.mark.slow
def test_the_command_tells_a_line_a_finding_and_exits_1(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> int:
        with pytest.raises(SystemExit) as raised:
            main(["check", NAME, "--home", str(home.root), *arguments])
        return int(str(raised.value.code))

    assert run() == 0
    assert capsys.readouterr().out == "study tiny is as it should be\n"
    _damage_the_export(home)
    assert run() == 1
    line, hint = capsys.readouterr().out.splitlines()
    assert line.startswith("export: ") and line.endswith("; a repair exports again")
    assert hint == "mend it: convscout check tiny --repair"
    assert run("--json") == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["where"] == "export" and finding["repairable"]
    assert run("--repair") == 0
    assert "mended: export: " in capsys.readouterr().out
    assert run("--json") == 0
    assert json.loads(capsys.readouterr().out) == {"study": NAME, "findings": [], "mended": []}


@pytest.mark.slow
def test_a_repair_that_could_not_mend_something_says_so_and_exits_1(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    number = _member(home)
    for path in home.study(NAME).trial(number).iterdir():
        path.unlink()  # so that no network is left to export again
    _damage_the_export(home)
    with pytest.raises(SystemExit) as raised:
        main(["check", NAME, "--home", str(home.root), "--repair"])
    assert raised.value.code == 1
    told = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"mended: trial {number}: its best epoch") for line in told)
    assert any(line.startswith("not mended: export: ") for line in told)
    assert not any(line.startswith("mended: export: ") for line in told)
