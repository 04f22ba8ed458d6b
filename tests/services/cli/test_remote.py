"""The command line with ``--server``: what it does here is done there, and looks the same."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscout.services.client import Client
from convscout.services.config.toml import to_toml
from convscout.services.schemas.study_status import StudyStatus
from tests.services.cli.test_study import Captured, run
from tests.services.client.test_client import until, zipped
from tests.support.service import serve_process
from tests.support.studies import DIVERGING, tiny_config


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served") / "home"


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    """A real service, in a process of its own, whose token is that of the home."""
    with serve_process(home) as said, pytest.MonkeyPatch.context() as patched:
        patched.setenv("CONVSCOUT_HOME", str(home))
        yield said["url"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings of a small study."""
    file = tmp_path_factory.mktemp("settings") / "tiny.toml"
    said = to_toml(tiny_config(trials=2, workers=1)).splitlines()
    file.write_text("\n".join(line for line in said if not line.startswith("name = ")))
    return file


@pytest.fixture(scope="module")
def studied(url: str, tiny: Path) -> tuple[str, str]:
    """What `search` printed of a study that it watched to its end, and the study's name."""
    done = subprocess.run(
        [sys.executable, "-m", "convscout", "search", "--config", str(tiny), "--server", url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout, "digits"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    file = tmp_path / "picture.png"
    Image.fromarray(np.full((8, 8), 100, dtype=np.uint8)).save(file)
    return file


def test_a_search_is_watched_from_its_first_word_to_its_scores(studied: tuple[str, str], url: str) -> None:
    lines = studied[0].splitlines()
    assert re.match("study digits is (queued|starting)", lines[0])
    for told in (
        "reading the data: digits",
        r"study digits on digits: 1 worker \(in-process\), 2 trials( and .+ left)?",
        r"trial 0 completed: lenet, \S+ parameters, validation \d+\.\d\d% at epoch \d of \d, trained all its epochs",
        r"the best so far: \d+\.\d\d% \(trial \d, lenet\)",
        "study digits is finished",
        "ensemble +test .*",
        f"predict: convscout predict digits IMAGE.png --server {url}",
    ):
        assert any(re.fullmatch(told, line) for line in lines), told


def test_studies_are_looked_at(studied: tuple[str, str], url: str, capsys: Captured) -> None:
    assert run("studies", "--server", url) == 0
    assert re.search(r"^digits +digits +finished +2 .* 100%", capsys.readouterr().out, re.MULTILINE)
    assert run("show", "digits", "--server", url) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("study digits on digits: finished")
    assert lines[1] == "it ran to its end and has a model"
    assert lines[-1] == f"next: convscout predict digits IMAGE.png --server {url}"
    assert run("trials", "digits", "--sort", "score", "--limit", 1, "--server", url) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split()[:2] == ["#", "family"] and len(table) == 2
    with Client(url) as client:
        assert run("studies", "--json", "--server", url) == 0
        assert json.loads(capsys.readouterr().out) == [
            each.model_dump(mode="json") for each in client.studies()
        ]
        assert run("trials", "digits", "--json", "--server", url) == 0
        assert json.loads(capsys.readouterr().out) == [
            each.model_dump(mode="json") for each in client.trials("digits")
        ]


@pytest.mark.slow
def test_a_search_without_a_model_says_why(url: str, tmp_path: Path, capsys: Captured) -> None:
    config = tiny_config("hopeless", trials=1, epochs=1, workers=1, space=DIVERGING, portfolio=False)
    file = tmp_path / "hopeless.toml"
    file.write_text(to_toml(config), encoding="utf-8")
    assert run("search", "--config", file, "--server", url) == 1
    error = capsys.readouterr().err
    assert "error: no model: the only trial failed: 1 × the training loss became" in error
    assert f"next: convscout trials hopeless --server {url}" in error


@pytest.mark.slow
def test_an_export_is_fetched_and_answers_as_the_service_does(
    studied: tuple[str, str], url: str, picture: Path, tmp_path: Path, capsys: Captured
) -> None:
    to = tmp_path / "model"
    assert run("export", "digits", "--formats", "onnx", "--to", to, "--server", url) == 0
    assert f"export: {to}" in capsys.readouterr().out
    assert (
        run("export", "digits", "--formats", "onnx", "--to", to, "--server", url) == 0
    )  # again, in its place
    capsys.readouterr()
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    answers = []
    for where in ((to,), ("digits", "--server", url)):
        assert run("predict", *where, picture, bad, "--top", 3, "--json") == 0
        answers.append(json.loads(capsys.readouterr().out))
    (here, here_bad), (there, there_bad) = answers
    assert [each["class_name"] for each in here["top"]] == [each["class_name"] for each in there["top"]]
    assert here["top"][0]["probability"] == pytest.approx(there["top"][0]["probability"], abs=1e-5)
    assert here_bad["top"] == there_bad["top"] == [] and "is not a PNG" in there_bad["reason"]
    assert run("predict", "digits", picture, bad, "--server", url) == 2
    assert "1 of 2 files could not be read" in capsys.readouterr().err
    assert run("export", "digits", "--to", tmp_path, "--server", url) == 2
    assert "which is not part of the export" in capsys.readouterr().err


@pytest.mark.slow
def test_a_story_is_fetched(studied: tuple[str, str], url: str, tmp_path: Path, capsys: Captured) -> None:
    assert run("report", "digits", "--output", tmp_path / "story", "--server", url) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'story' / 'report.html'}\n"
    assert "<html" in (tmp_path / "story" / "report.html").read_text()


def test_datasets_are_listed_and_brought(url: str, tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "noise.zip"
    file.write_bytes(zipped())
    assert run("datasets", "upload", file, "--server", url) == 0
    said = capsys.readouterr().out
    assert "noise: 60 images of 3 classes" in said and "convscout search --data folder:" in said
    assert run("datasets", "--server", url) == 0
    assert re.search(r"^folder:\S+noise +uploaded +60 ", capsys.readouterr().out, re.MULTILINE)
    with Client(url) as client:
        spelled = client.dataset("noise").data
    for data in ("noise", spelled):
        assert run("datasets", "check", data, "--server", url) == 0
        assert re.search(r"^class0 +", capsys.readouterr().out, re.MULTILINE)
    sheet = tmp_path / "sheet.png"
    assert run("datasets", "check", "noise", "--sheet", sheet, "--json", "--server", url) == 0
    report = json.loads(capsys.readouterr().out)
    assert sum(report["sizes"].values()) == 60 and report["contact_sheet"] == str(sheet)
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert run("datasets", "check", "nosie", "--server", url) == 2
    assert "must be one of" in (said := capsys.readouterr().err) and "but got 'nosie'" in said
    assert run("datasets", "check", "noise", "--image-size", 8, "--server", url) == 2
    assert "--image-size" in capsys.readouterr().err
    assert run("datasets", "upload", tmp_path, "--server", url) == 2
    assert "python -m zipfile" in capsys.readouterr().err
    assert run("datasets", "upload", file) == 2
    assert "needs a service to bring it to" in capsys.readouterr().err


@pytest.mark.slow
def test_a_study_is_steered(url: str, tiny: Path, capsys: Captured) -> None:
    there = ("--server", url)
    endless = ("--trials", 1000, "--epochs", 30)
    assert run("search", "--config", tiny, "--study", "long", *endless, "--detach", *there) == 0
    assert f"convscout show long --server {url}" in capsys.readouterr().out
    with Client(url) as client:
        until(lambda: "enqueue" in client.study("long").actions and bool(client.study("long").best))
        assert (
            run("enqueue", "long", "--set", "family=lenet", "--set", "recipe.label_smoothing=0.07", *there)
            == 0
        )
        assert "recipe.label_smoothing = 0.07" in capsys.readouterr().out
        assert run("resume", "long", "--trials", "+5", *there) == 0  # which it is told while it runs
        assert "study long is running" in capsys.readouterr().out
        until(lambda: client.study("long").config["trials"] == 1005)
        assert run("pause", "long", *there) == 0
        assert f"paused; go on: convscout resume long --server {url}" in capsys.readouterr().out
        assert client.study("long").status is StudyStatus.PAUSED
        assert run("resume", "long", "--detach", "--json", *there) == 0
        assert json.loads(capsys.readouterr().out)["name"] == "long"
        until(lambda: client.study("long").status is StudyStatus.RUNNING)
        assert run("stop", "long", *there) == 0
        assert run("stop", "long", *there) == 0
        assert capsys.readouterr().out == "study long has stopped\nstudy long is not running\n"
        assert run("delete", "long", *there) == 0
        assert "convscout restore long" in capsys.readouterr().out
        assert "long" not in [each.name for each in client.studies()]
        assert run("restore", "long", *there) == 0
        assert "long" in [each.name for each in client.studies()]


@pytest.mark.slow
def test_who_stops_watching_stops_no_study(url: str, tiny: Path, capsys: Captured) -> None:
    arguments = ["search", "--config", str(tiny), "--study", "watched", "--epochs", "3000"]
    arguments += ["--time", "5m", "--server", url]  # lest it go on for long if this test fails
    with (
        Client(url) as client,
        subprocess.Popen(
            [sys.executable, "-m", "convscout", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as watching,
    ):
        assert watching.stdout and watching.stderr
        assert "study watched is" in watching.stdout.readline()
        until(lambda: client.study("watched").status is StudyStatus.RUNNING)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(200) == 130
        said = watching.stderr.read()
        assert f"error: study watched goes on at {url}" in said
        assert f"next: convscout stop watched --server {url}" in said
        assert client.study("watched").status is StudyStatus.RUNNING
        assert run("resume", "watched", "--server", url) == 2
        assert "is running: cannot resume" in capsys.readouterr().err
        client.stop("watched")
        until(lambda: client.study("watched").status is StudyStatus.STOPPED)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["studies", "--home", "x"], "--home: cannot be given with --server"),
        (["show", "x", "--storage", "postgresql+psycopg://h/d"], "--storage: cannot be given with --server"),
        (["resume", "x", "--take-over"], "--take-over: cannot be given with --server"),
        (["show", "nowhere"], "no study 'nowhere'"),
        (["search", "--data", "digits", "--time", "soon"], "budget.time: must be a duration"),
        (["studies", "--server", "http://example.org", "--token-file", "TOKEN"], "must begin with https://"),
    ],
)
def test_what_cannot_be_is_told(
    url: str, arguments: list[str], told: str, tmp_path: Path, capsys: Captured
) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef-a-token")
    token.chmod(0o600)
    words = [str(token) if word == "TOKEN" else word for word in arguments]
    assert run(*words, *([] if "--server" in words else ["--server", url])) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("error: ") and told in captured.err


@pytest.mark.parametrize("option", ["--detach", "--insecure"])
def test_what_only_a_service_does_needs_one(
    option: str, tiny: Path, tmp_path: Path, capsys: Captured
) -> None:
    assert run("search", "--config", tiny, option, "--home", tmp_path / "home") == 2
    assert f"{option}: needs a service to ask" in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


def test_a_service_that_is_away_is_named(capsys: Captured) -> None:
    began = time.monotonic()
    assert run("studies", "--server", "http://127.0.0.1:1") == 1
    assert time.monotonic() - began < 10
    err = capsys.readouterr().err
    assert "no service answers at http://127.0.0.1:1" in err and err.endswith("next: convscout serve\n")


def test_what_is_typed_wins_over_the_environment(
    url: str, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVSCOUT_SERVER", "http://127.0.0.1:1")
    assert run("studies", "--home", tmp_path / "here") == 0
    assert "no studies under" in capsys.readouterr().out
    assert run("studies", "--server", url) == 0
    assert run("studies") == 1


def test_looking_at_a_service_imports_neither_torch_nor_optuna(studied: tuple[str, str], url: str) -> None:
    code = """
import sys
from convscout.services.cli import main
try:
    main(sys.argv[1:])
finally:
    print(*sys.modules)
"""
    for words in (["studies"], ["trials", "digits"], ["datasets"]):
        arguments = [sys.executable, "-c", code, *words, "--server", url]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True, env=dict(os.environ))
        imported = set(done.stdout.splitlines()[-1].split())
        assert "httpx" in imported
        assert not imported & {"torch", "optuna", "mlflow", "ray", "numpy", "pandas", "sqlalchemy"}
