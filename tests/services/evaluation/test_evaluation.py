"""What answers are worth, class by class; and an exported ensemble judged on labelled images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
from PIL import Image

from convscout.services.config.home import EVALUATION_FILE, Home
from convscout.services.config.toml import to_toml
from convscout.services.evaluation.figures import CONFUSION, MISTAKES, RELIABILITY
from convscout.services.evaluation.scores import Evaluation
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies.check import check
from convscout.services.studies.outcome import load_outcome
from convscout.services.tracking.audit import differences
from convscout.services.tracking.runs import find_runs
from convscout.services.tracking.store import TrackingStore
from tests.services.cli.test_study import Captured, run
from tests.support.studies import tiny_config


def test_scores_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    answers, labels = rng.dirichlet(np.ones(4), 300).astype(np.float32), rng.integers(3, size=300)
    predicted = answers.argmax(axis=1)
    found = Evaluation.of(answers, labels, ("a", "b", "c", "never"))
    recall = sklearn.metrics.recall_score(labels, predicted, average=None, labels=range(4), zero_division=0)
    precision = sklearn.metrics.precision_score(labels, predicted, average=None, labels=range(4))
    assert [each.recall for each in found.classes[:3]] == pytest.approx(list(recall[:3]))
    assert [each.precision for each in found.classes] == pytest.approx(list(precision))
    assert found.classes[3].recall is None and found.classes[3].images == 0
    assert np.array(found.confusion).sum() == found.images == 300
    assert found.low <= found.accuracy <= found.high
    assert json.loads(json.dumps(found.to_dict()))["classes"][0]["name"] == "a"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home where ``tiny`` was searched to its end, by networks that make mistakes."""
    root = tmp_path_factory.mktemp("home")
    (root / "tiny.toml").write_text(to_toml(tiny_config(trials=2)), encoding="utf-8")
    assert run("search", "--config", root / "tiny.toml", "--home", root) == 0
    return root


@pytest.fixture(scope="module")
def export(home: Path) -> Path:
    outcome = load_outcome(Ledger.open(Home(home).study("tiny")))
    assert outcome is not None
    return outcome.export


def test_a_study_leaves_a_report_of_its_test_images(home: Path) -> None:
    outcome = load_outcome(Ledger.open(Home(home).study("tiny")))
    assert outcome is not None and outcome.gain is not None
    report = json.loads((home / "studies/tiny/report" / EVALUATION_FILE).read_text())
    assert report["ensemble"]["accuracy"] == outcome.score("ensemble", "test")
    assert report["best single"]["accuracy"] == outcome.score("best single", "test")
    gain = outcome.score("ensemble", "test") - outcome.score("best single", "test")
    assert outcome.gain.difference == pytest.approx(gain)
    for name in (CONFUSION, RELIABILITY, MISTAKES):
        with Image.open(home / "studies/tiny/report" / name) as picture:
            assert picture.width > 300 and picture.height > 200
    assert check(Home(home).study("tiny")) == []
    ledger, store = Ledger.open(Home(home).study("tiny")), TrackingStore.at(Home(home))
    client = store.client()
    [run_of_study] = find_runs(client, client.get_experiment_by_name("tiny").experiment_id, "tiny")[None]
    shown = {item.path for item in client.list_artifacts(run_of_study.info.run_id, "report")}
    assert {f"report/{name}" for name in (EVALUATION_FILE, CONFUSION, RELIABILITY, MISTAKES)} == shown
    assert run_of_study.data.metrics["gain.test_accuracy"] == pytest.approx(gain)
    assert run_of_study.data.metrics["ensemble.test_nll"] == report["ensemble"]["nll"]
    assert differences(ledger, store) == []


def judged(export: Path, capsys: Captured, *options: object) -> dict[str, object]:
    capsys.readouterr()
    assert run("evaluate", export, *options, "--json") == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_an_export_is_judged_as_the_study_was(home: Path, export: Path, capsys: Captured) -> None:
    outcome = load_outcome(Ledger.open(Home(home).study("tiny")))
    assert outcome is not None
    found = judged(export, capsys, "--data", "digits", "--home", home)
    assert found["accuracy"] == pytest.approx(outcome.score("ensemble", "test"), abs=1e-9)
    assert found["seen_in_training"] is False


def test_images_that_it_was_made_from_are_told(
    home: Path, export: Path, tmp_path: Path, capsys: Captured
) -> None:
    found = judged(export, capsys, "--data", "digits", "--split", "all", "--home", home)
    assert found["seen_in_training"] is True and found["images"] == 1797
    told = run(
        "evaluate",
        export,
        "--data",
        "digits",
        "--split",
        "train",
        "--home",
        home,
        "--output",
        tmp_path / "out",
    )
    assert told == 0 and "says little of others" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        EVALUATION_FILE,
        CONFUSION,
        RELIABILITY,
        MISTAKES,
    }


def test_other_images_may_have_fewer_classes_in_another_order(
    home: Path, export: Path, tmp_path: Path, capsys: Captured
) -> None:
    rng = np.random.default_rng(0)
    for name in ("7", "3"):
        (tmp_path / "few" / name).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(256, size=(8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "few" / name / f"{number}.png")
    data = f"folder:{tmp_path / 'few'}"
    found = judged(export, capsys, "--data", data, "--split", "all", "--home", home)
    images = {each["name"]: each["images"] for each in found["classes"]}  # type: ignore[attr-defined]
    assert (images["3"], images["7"], images["0"]) == (12, 12, 0) and found["seen_in_training"] is False


def test_a_file_is_not_replaced_by_a_report(
    home: Path, export: Path, tmp_path: Path, capsys: Captured
) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    assert run("evaluate", export, "--data", "digits", "--home", home, "--output", file) == 2
    assert "is a file; choose a directory" in capsys.readouterr().err
    assert file.read_text() == "mine"


def test_what_it_cannot_judge_is_refused_with_the_reason(
    home: Path, export: Path, tmp_path: Path, capsys: Captured
) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(12):
            Image.new("L", (8, 8), 20 * number).save(tmp_path / "pets" / name / f"{number}.png")
    assert run("evaluate", export, "--data", f"folder:{tmp_path / 'pets'}", "--home", home) == 2
    assert "has the class 'cat' and 1 more, which this ensemble does not know" in capsys.readouterr().err
    assert run("evaluate", tmp_path, "--data", "digits", "--home", home) == 2
    assert "error: " in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    assert run("evaluate", export, "--data", "digits", "--home", home, "--output", tmp_path / "mine") == 2
    assert "holds 'thesis.txt'" in capsys.readouterr().err
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_judging_needs_no_split(home: Path, export: Path, tmp_path: Path, capsys: Captured) -> None:
    """Neither classes of one image nor one class alone, be they of another size and in colour."""
    rng = np.random.default_rng(0)
    for name in ("7", "3"):
        (tmp_path / "few" / name).mkdir(parents=True)
        pixels = rng.integers(256, size=(30, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "few" / name / "only.png")
    found = judged(export, capsys, "--data", tmp_path / "few", "--home", home)
    assert (found["images"], found["split"]) == (2, "all")
    (tmp_path / "few" / "7" / "damaged.png").write_bytes(b"damaged")
    (tmp_path / "few" / "3" / "only.png").rename(tmp_path / "few" / "7" / "other.png")
    (tmp_path / "few" / "3").rmdir()
    found = judged(export, capsys, "--data", tmp_path / "few", "--split", "test", "--home", home)
    images = {each["name"]: each["images"] for each in found["classes"]}  # type: ignore[attr-defined]
    assert images["7"] == found["images"] == 2 and len(found["skipped"]) == 1  # type: ignore[arg-type]
    assert run("evaluate", export, "--data", tmp_path / "few", "--home", home) == 0
    told = " ".join("".join(capsys.readouterr()).split())
    assert (
        "all 2 images are judged, not split" in told and "cannot be read: 1 files, such as 7/damaged" in told
    )

    images_of_npz = rng.integers(256, size=(3, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "one.npz", images=images_of_npz, labels=np.zeros(3, int), class_names=np.array(["7"]))
    assert judged(export, capsys, "--data", tmp_path / "one.npz", "--home", home)["images"] == 3


def test_a_file_without_labels_is_refused_with_what_to_do(
    export: Path, tmp_path: Path, capsys: Captured
) -> None:
    for name, remedy in (("a.png", "put it into a folder of the name of its class"), ("a.zip", "unpack it")):
        (tmp_path / name).touch()
        assert run("evaluate", export, "--data", tmp_path / name) == 2
        assert remedy in " ".join(capsys.readouterr().err.split())
