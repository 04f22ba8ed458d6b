"""Another ensemble from the trials of a study, from the command line, without training and without the test split."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from convscout.services.cli.formats import FORMATS
from convscout.services.config.home import Home
from convscout.services.config.toml import to_toml
from convscout.services.export.formats.bundle import load_bundle
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies.check import check
from convscout.services.studies.outcome import OPENINGS_NOTE, load_outcome
from tests.services.cli.test_study import Captured, run
from tests.support.studies import bundle_alone, tiny_config

SIZES = {
    "lenet.width": {"choices": [4, 8, 16]},
    "mlp.width": {"choices": [64, 256]},
    "recipe.batch_size": 256,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home where ``tiny`` was searched to its end, with networks of two families."""
    root = tmp_path_factory.mktemp("home")
    config = tiny_config(trials=6, epochs=3, families=("lenet", "mlp"), space=SIZES, ensemble_size=3)
    (root / "tiny.toml").write_text(to_toml(config), encoding="utf-8")
    with bundle_alone():
        assert run("search", "--config", root / "tiny.toml", "--home", root) == 0
    return root


def told(home: Path, capsys: Captured, *options: object) -> dict[str, object]:
    capsys.readouterr()
    assert run("ensemble", "tiny", *options, "--home", home, "--json") == 0
    answer: dict[str, object] = json.loads(capsys.readouterr().out)
    return answer


def test_it_is_that_of_the_study_unless_something_else_is_asked(home: Path, capsys: Captured) -> None:
    outcome = load_outcome(Ledger.open(Home(home).study("tiny")))
    assert outcome is not None
    found = told(home, capsys)
    assert found == json.loads(json.dumps({"study": "tiny", "export": None, **outcome.ensemble.to_dict()}))


@bundle_alone()
def test_limits_and_strategy_make_another_and_the_study_keeps_its_own(home: Path, capsys: Captured) -> None:
    ledger = Ledger.open(Home(home).study("tiny"))
    before, openings = load_outcome(ledger), ledger.note(OPENINGS_NOTE)
    params = {record.number: record.complexity.params for record in ledger.trials() if record.complexity}
    limit = min(params.values()) + 1
    found = told(home, capsys, "--max-params", limit, "--strategy", "top-k")
    assert found["strategy"] == "top-k"
    [member] = found["members"]  # type: ignore[misc]
    assert params[member["number"]] <= limit
    after = Ledger.open(Home(home).study("tiny"))
    assert load_outcome(after) == before and after.note(OPENINGS_NOTE) == openings
    assert check(Home(home).study("tiny")) == []


@pytest.mark.slow
@bundle_alone()
def test_it_can_be_exported(home: Path, tmp_path: Path, capsys: Captured) -> None:
    found = told(home, capsys, "--size", 1, "--to", tmp_path / "small")
    exported = load_bundle(tmp_path / "small")
    assert [member.number for member in exported.members] == [each["number"] for each in found["members"]]  # type: ignore[attr-defined]
    assert exported.temperature == found["temperature"]
    assert "test.ensemble.accuracy" not in exported.metrics


def test_the_front_is_told_and_drawn(home: Path, capsys: Captured) -> None:
    for cost in ("params", "latency"):
        found = told(home, capsys, "--front", "--cost", cost)
        costs = [point["cost"] for point in found["front"]]  # type: ignore[attr-defined]
        assert costs == sorted(costs) and len(costs) >= 1
        with Image.open(str(found["plot"])) as plot:
            assert plot.width > 600 and plot.height > 300
    assert run("ensemble", "tiny", "--front", "--home", home) == 0
    assert "plot: " in capsys.readouterr().out


def test_a_person_reads_why_and_what_to_type_next(home: Path, capsys: Captured) -> None:
    assert run("ensemble", "tiny", "--home", home) == 0
    lines = capsys.readouterr().out
    assert "cross-validation of the selection: " in lines
    assert "convscout ensemble tiny --front" in lines


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--size", "0"], "ensemble.size: must be a whole number from 1 to 100, but got '0'"),
        (["--max-params", "few"], "ensemble.max_params: must be a whole number"),
        (["--strategy", "best"], "ensemble.strategy: must be one of auto, bagged,"),
        (["--max-params", "3"], "no trial fits into the limits of the ensemble: the smallest has"),
        (["--max-latency", "0.02ms"], "no trial fits into the limits of the ensemble: "),
        (["--max-latency", "1"], ""),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(
    options: list[str], said: str, home: Path, capsys: Captured
) -> None:
    code = run("ensemble", "tiny", *options, "--home", home)
    assert code == (2 if said else 0)
    assert said in capsys.readouterr().err


def test_a_study_without_a_finished_trial_says_so(tmp_path: Path, capsys: Captured) -> None:
    Ledger.create(Home(tmp_path), tiny_config(), fingerprint="f" * 64)
    assert run("ensemble", "tiny", "--home", tmp_path) in (1, 2)
    assert "error: " in capsys.readouterr().err


@pytest.mark.slow
def test_other_formats_are_exported_when_they_are_named(home: Path, tmp_path: Path, capsys: Captured) -> None:
    asked = ("export", "tiny", "--home", home, "--to", tmp_path / "out")
    assert run(*asked, "--formats", "bundle,pt2") == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert "model.pt2" in names and "model.onnx" not in names
    capsys.readouterr()
    assert run(*asked, "--formats", "onyx") == 2
    assert (
        f"ensemble.formats: must be names out of {', '.join(FORMATS)} (did you mean 'onnx'?)"
        in capsys.readouterr().err
    )
    assert run(*asked, "--formats", "docker") == 2
    assert "docker needs onnx to be exported too" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
