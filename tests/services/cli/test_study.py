"""A real little study from the command line: search it, look at it, use it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscout.services.cli import main
from convscout.services.config.home import Home
from convscout.services.config.toml import to_toml
from convscout.services.ensembles.ensemble import Ensemble
from convscout.services.ledger.lease import lease
from convscout.services.studies.outcome import Outcome
from tests.support.studies import bundle_alone, tiny_config

Captured = pytest.CaptureFixture[str]


def run(*arguments: object) -> int:
    """The exit code of the command line."""
    with pytest.raises(SystemExit) as raised:
        main([str(argument) for argument in arguments])
    assert isinstance(raised.value.code, int)
    return raised.value.code


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home where ``tiny`` was searched to its end."""
    root = tmp_path_factory.mktemp("home")
    file = root / "tiny.toml"
    file.write_text(to_toml(tiny_config(trials=5)), encoding="utf-8")
    with bundle_alone():
        assert run("search", "--config", file, "--trials", 2, "--home", root) == 0
    return root


def test_a_finished_study_is_listed_and_shown(home: Path, capsys: Captured) -> None:
    assert run("studies", "--home", home, "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["name"], listed["status"], sum(listed["trials"].values())) == ("tiny", "finished", 2)
    assert run("show", "tiny", "--home", home, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["config"]["trials"] == 2  # the flag won over the file
    outcome = Outcome.from_dict(shown["outcome"])
    assert isinstance(outcome.ensemble, Ensemble)
    assert run("show", "tiny", "--home", home) == 0
    text = capsys.readouterr().out
    assert f"export: {outcome.export}" in text
    assert f"{outcome.score('ensemble', 'test'):.2%}" in text


def test_trials_are_sorted_and_cut(home: Path, capsys: Captured) -> None:
    assert run("trials", "tiny", "--sort", "score", "--home", home, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    scores = [trial["val_accuracy"] for trial in found]
    assert len(scores) == 2 and scores == sorted(scores, reverse=True)
    assert [len(trial["measurements"]) for trial in found] == [2, 2]
    assert run("trials", "tiny", "--sort", "score", "--limit", "1", "--home", home) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and f"{scores[0]:.2%}" in lines[1]


def test_the_name_of_a_study_is_taken_once(home: Path, capsys: Captured) -> None:
    assert run("search", "--data", "digits", "--study", "tiny", "--home", home) == 2
    error = capsys.readouterr().err
    assert "'tiny' exists already" in error
    assert f"next: convscout resume tiny --home {home}" in error


def test_a_name_made_from_the_data_is_a_free_one(home: Path, capsys: Captured) -> None:
    assert run("config", "--data", "folder:/pictures/tiny", "--home", home, "--json") == 0
    assert json.loads(capsys.readouterr().out)["name"] == "tiny-2"


def test_the_configuration_of_a_study_can_be_varied(home: Path, capsys: Captured) -> None:
    assert run("config", "--of", "tiny", "--seed", "9", "--home", home, "--json") == 0
    effective = json.loads(capsys.readouterr().out)
    assert effective == {**tiny_config(trials=2).to_dict(), "seed": 9}


def test_a_study_without_a_process_is_not_stopped(home: Path, capsys: Captured) -> None:
    assert run("stop", "tiny", "--home", home) == 0
    assert capsys.readouterr().out == "study tiny is not running\n"


def test_a_study_that_runs_elsewhere_is_not_resumed(home: Path, capsys: Captured) -> None:
    with lease(Home(home).study("tiny")):
        assert run("resume", "tiny", "--home", home) == 1
    assert f"next: convscout stop tiny --home {home}" in capsys.readouterr().err


@pytest.mark.slow
@bundle_alone()
def test_a_resumed_study_trains_what_is_missing_and_prints_json_alone(home: Path, capsys: Captured) -> None:
    assert run("resume", "tiny", "--trials", "3", "--home", home, "--json") == 0
    outcome = Outcome.from_dict(json.loads(capsys.readouterr().out))
    assert sum(outcome.state_counts.values()) == 3


@pytest.mark.slow
def test_the_ensemble_is_exported_and_predicts(home: Path, tmp_path: Path, capsys: Captured) -> None:
    assert run("export", "tiny", "--to", tmp_path / "model", "--home", home, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["study"], told["export"]) == ("tiny", str(tmp_path / "model"))
    assert set(told["formats"]) == {"bundle", "onnx"}
    assert all(each["num_changed"] == 0 for each in told["formats"].values())
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(tmp_path / "black.png")
    assert run("predict", tmp_path / "model", tmp_path / "black.png", "--top", "3", "--json") == 0
    ((prediction),) = json.loads(capsys.readouterr().out)
    probabilities = [guess["probability"] for guess in prediction["top"]]
    assert len(probabilities) == 3 and probabilities == sorted(probabilities, reverse=True)
    (tmp_path / "broken.png").write_bytes(b"no image")
    assert run("predict", tmp_path / "model", tmp_path / "black.png", tmp_path / "broken.png") == 2
    captured = capsys.readouterr()
    assert f"{probabilities[0]:.4f}" in captured.out
    assert "error: 1 of 2 files could not be read" in captured.err
