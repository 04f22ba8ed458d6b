"""The league: whose turn it is, what a turn may take and leave behind, the table, and a league of seconds."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from benchmarks.league import CONTESTANTS, DEFAULT, table, turns
from benchmarks.league_data import prepare
from benchmarks.league_environments import NotInstalled, interpreter
from benchmarks.league_process import Result, run
from convscout.search_space.errors import DataError
from tests.support.places import ROOT
from tests.support.soaking import repetitions

SIDE = 28


def _turn(program: str, directory: Path, budget_s: float) -> Result:
    answer, log = directory / "answer.json", directory / "log"
    command = [sys.executable, "-c", program, str(answer)]
    return run(command, budget_s=budget_s, cores=1, answer=answer, log=log)


def _tiny(directory: Path, *, images: int = 200) -> Path:
    """An npz of two classes that differ in which half of the image is bright."""
    random = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", images), ("test", images // 4)):
        labels = np.arange(count) % 2
        pixels = random.integers(90, size=(count, SIDE, SIDE), dtype=np.uint8)
        pixels[labels == 0, : SIDE // 2] += 120
        pixels[labels == 1, SIDE // 2 :] += 120
        arrays |= {f"x_{split}": pixels, f"y_{split}": labels}
    npz = directory / "tiny.npz"
    np.savez(npz, **arrays, classes=np.array(["sky", "ground"]))
    return npz


def test_whoever_was_first_is_last_with_the_next_seed() -> None:
    assert turns(["a", "b", "c"], seeds=2) == [(1, "a"), (1, "b"), (1, "c"), (2, "b"), (2, "c"), (2, "a")]


def test_an_answer_is_read_with_the_seconds_it_took(tmp_path: Path) -> None:
    program = "import sys; open(sys.argv[1], 'w').write('{\"test_accuracy\": 0.5}')"
    result = _turn(program, tmp_path, budget_s=60)
    assert result["test_accuracy"] == 0.5 and 0 <= result["took_s"] < 60
    assert "reason" not in result


def test_without_an_answer_the_last_words_are_the_reason(tmp_path: Path) -> None:
    result = _turn("print('begins'); raise SystemExit('it needs larger images')", tmp_path, budget_s=60)
    assert (result["test_accuracy"], result["reason"]) == (None, "it needs larger images")


def test_an_earlier_answer_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "answer.json").write_text('{"test_accuracy": 1.0}')
    assert _turn("pass", tmp_path, budget_s=60)["reason"] == "it ended and said nothing"


def test_past_its_time_a_contestant_is_killed_with_all_it_started(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)"
    )
    began = time.monotonic()
    result = _turn(program, tmp_path, budget_s=4)
    assert result["reason"] == "killed after 1.25 × its time"
    assert 5 <= time.monotonic() - began < 60
    child = int((tmp_path / "log").read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_the_best_is_first_and_what_failed_says_why() -> None:
    results = [
        {"contestant": "ray", "seed": 1, "test_accuracy": None, "reason": "no epoch", "took_s": 75.0},
        {"contestant": "control", "seed": 2, "test_accuracy": 0.9, "setup": "second", "took_s": 60.0},
        {"contestant": "control", "seed": 1, "test_accuracy": 0.8, "setup": "first", "took_s": 58.0},
        {"contestant": "convscout", "seed": 1, "test_accuracy": 0.9, "setup": "default", "took_s": 59.0},
        {"contestant": "convscout", "seed": 2, "test_accuracy": None, "reason": "lost", "took_s": 75.0},
    ]
    assert table(results).splitlines()[2:] == [
        "| convscout | **90.00%** | 90.00%, – | 67 | default |",
        "| the control: a speed-run network | **85.00%** | 80.00%, 90.00% | 59 | first |",
        "| Ray's PyTorch tutorial (ASHA) | no result | – | 75 |  |",
        "",
        "convscout, seed 2: no result, lost",
        "Ray's PyTorch tutorial (ASHA), seed 1: no result, no epoch",
    ]


def test_folders_and_npz_have_the_same_pixels(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    made = prepare(_tiny(tmp_path, images=20), tmp_path / "first")
    again = prepare(made.folders, tmp_path)
    assert again.folders == made.folders
    with np.load(made.npz) as first, np.load(again.npz) as second, np.load(tmp_path / "tiny.npz") as given:
        assert first["classes"].tolist() == ["ground", "sky"]
        assert first["x_train"].shape == (20, SIDE, SIDE, 1) and bool(first["mirror"])
        for name in first.files:
            assert np.array_equal(first[name], second[name])
        sky = given["x_train"][given["y_train"] == 0]
        assert np.array_equal(first["x_train"][first["y_train"] == 1, ..., 0], sky)


def test_images_of_several_sizes_are_refused(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split / "cat").mkdir(parents=True)
        for side in (8, 9):
            Image.new("RGB", (side, 8)).save(tmp_path / split / "cat" / f"{side}.png")
    with pytest.raises(DataError, match="of one size"):
        prepare(tmp_path, tmp_path)


def test_every_contestant_has_a_module() -> None:
    modules = {path.stem for path in (ROOT / "benchmarks" / "league_sides").glob("*.py")}
    assert {contestant.module for contestant in CONTESTANTS.values()} <= modules


@pytest.mark.slow
def test_what_cannot_be_installed_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotInstalled, match=r"^pip: ERROR: Invalid requirement"):
        interpreter("none", [str(tmp_path / "nothing")], tmp_path)


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("sides", "seconds"),
    repetitions(
        [(("optuna",), 15)],
        [(("optuna",), 15), (("control", "residual", "optuna"), 60), (("convscout", "ray"), 90)],
    ),
)
def test_a_league_of_seconds(sides: tuple[str, ...], seconds: int, tmp_path: Path) -> None:
    file = tmp_path / "league.json"
    command = [sys.executable, "-m", "benchmarks.league", "--data", str(_tiny(tmp_path)), "--cores", "1"]
    command += ["--time", f"{seconds}s", "--seeds", "1", "--sides", ",".join(sides)]
    command += ["--work", str(tmp_path / "work"), "--json", str(file)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    record = json.loads(file.read_text())
    assert record["machine"]["cores"] == 1 and record["budget_s"] == seconds
    assert [result["contestant"] for result in record["results"]] == list(sides)
    for result in record["results"]:
        assert "reason" not in result, result
        assert result["test_accuracy"] > 0.4, "of two classes; what more there is goes by the machine"
        assert result["setup"] and result["versions"]["python"]
        assert f"| {CONTESTANTS[result['contestant']].title} | **" in ran.stdout


def test_all_of_our_environment_are_in_the_league_unless_sides_are_named() -> None:
    assert DEFAULT == ("convscout", "control", "residual", "ray", "optuna")
