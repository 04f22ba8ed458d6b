"""The command line answers, complains and exits as it should, before any study is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from convscout.services.cli import entry, main
from convscout.services.cli.app import app
from convscout.services.cli.local import service
from convscout.services.config.home import Home
from convscout.services.config.study_config import StudyConfig
from convscout.services.config.toml import load_toml

COMMANDS = sorted(command.name or "" for command in app.registered_commands)
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONVSCOUT_HOME", str(tmp_path / "runs"))
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path / "runs"


def run(*arguments: str) -> int:
    """The exit code of the command line."""
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert isinstance(raised.value.code, int)
    return raised.value.code


def test_the_console_script_is_this_command_line() -> None:
    (script,) = metadata.entry_points(group="console_scripts", name="convscout")
    assert script.load() is entry.run


def test_help_and_version_import_nothing_heavy() -> None:
    code = """
import sys
from convscout.services.cli import main
try:
    main(["--help"])
finally:
    print(*sys.modules)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    imported = set(out.splitlines()[-1].split())
    assert "typer" in imported
    assert not imported & {"torch", "optuna", "mlflow", "ray", "numpy", "pandas", "sqlalchemy"}


def test_the_installed_script_prints_the_version() -> None:
    script = Path(sys.executable).with_name("convscout")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"convscout {metadata.version('convscout')}"


def test_every_command_is_there(capsys: Captured) -> None:
    assert run() == run("--help") == 0
    out = capsys.readouterr().out
    for group in (
        "search resume stop config",
        "studies show trials",
        "export predict",
        "families space datasets",
    ):
        assert all(f" {command} " in out for command in group.split())


@pytest.mark.parametrize("command", [*COMMANDS, "datasets", "datasets check", "families", "families show"])
def test_every_help_has_an_example(command: str, capsys: Captured) -> None:
    assert run(*command.split(), "--help") == 0
    assert f"Example: convscout {command.split()[0]}" in " ".join(capsys.readouterr().out.split())


def test_the_shell_completes_settings(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "_CONVSCOUT_COMPLETE": "complete_bash",
        "COMP_WORDS": "convscout search --families lenet,v",
        "COMP_CWORD": "3",
    }
    script = Path(sys.executable).with_name("convscout")
    done = subprocess.run([script], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.split() == ["lenet,vgg"]


@pytest.mark.parametrize(
    ("arguments", "told", "following"),
    [
        (["serch"], "No such command 'serch'", "next: convscout --help"),
        (["search", "--tiem", "3"], "No such option: --tiem", "next: convscout search --help"),
        (["show"], "Missing argument", "next: convscout show --help"),
        (["show", "nowhere"], "no study 'nowhere'", ""),
        (["resume", "x", "--time", "soon", "--trials", "-1"], "budget.time: must be a duration", ""),
        (["search", "--config", "nowhere.toml"], "nowhere.toml: cannot be read", ""),
        (["datasets", "check", "folder:nowhere"], "nowhere", ""),
        (["space", "resnt"], "resnt", ""),
        (["predict", "nowhere", "a.png"], "nowhere", ""),
    ],
)
def test_what_a_person_can_mend_exits_2_without_a_traceback(
    arguments: list[str], told: str, following: str, capsys: Captured, home: Path
) -> None:
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out.replace("reading the data", "").count("\n") <= 1
    assert captured.err.startswith("error: ")
    assert told in captured.err
    assert following in captured.err
    assert "Traceback" not in captured.err


def test_a_search_tells_all_problems_at_once_and_writes_nothing(capsys: Captured, home: Path) -> None:
    assert run("search", "--data", "digts", "--time", "3x", "--trials", "a", "--study", "../x") == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == [
        "study.name",
        "study.data",
        "budget.trials",
        "budget.time",
    ]
    assert not home.exists()


def test_an_unexpected_error_leaves_its_traceback_in_a_log(
    capsys: Captured, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the stars are wrong\nvery wrong")

    monkeypatch.setattr(service, "examine", broken)
    assert run("doctor") == 1
    (log,) = (home / "logs").iterdir()
    assert capsys.readouterr().err.splitlines() == [
        f"error: RuntimeError: the stars are wrong (traceback in {log})",
        "next: convscout doctor",
    ]
    assert 'raise RuntimeError("the stars are wrong' in log.read_text()


def test_a_home_that_cannot_be_made_is_told_even_without_a_log(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert run("search", "--data", "digits", "--study", "s", "--home", str(tmp_path / "file" / "runs")) == 1
    assert "Not a directory" in capsys.readouterr().err


def test_ctrl_c_exits_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(service, "examine", interrupted)
    assert run("doctor") == 130


def test_a_closed_pipe_is_no_error() -> None:
    script = Path(sys.executable).with_name("convscout")
    done = subprocess.run(f"{script} space | true", shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_the_effective_configuration_is_printed_as_toml(capsys: Captured, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text('[study]\ndata = "digits"\nseed = 4\n[budget]\ntime = "10m"\n', encoding="utf-8")
    assert run("config", "--config", str(path), "--time", "2m", "--max-params", "1.5M", "--no-portfolio") == 0
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    expected = StudyConfig(
        name="digits", data="digits", seed=4, time_s=120, max_params=1_500_000, portfolio=False
    )
    assert StudyConfig.from_options(load_toml(path)) == expected
    assert tomllib.loads(path.read_text())["budget"]["time"] == "2m"


def test_an_unnamed_study_is_named_after_its_data(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "my flowers").mkdir()
    assert run("config", "--data", f"folder:{tmp_path}/my flowers", "--json") == 0
    assert json.loads(capsys.readouterr().out)["name"] == "my-flowers"


@pytest.mark.parametrize(
    "arguments",
    [["studies"], ["families"], ["space", "lenet"], ["datasets"], ["config", "--data", "digits"], ["doctor"]],
)
def test_json_is_all_that_json_prints(arguments: list[str], capsys: Captured) -> None:
    assert run(*arguments, "--json") == 0
    captured = capsys.readouterr()
    json.loads(captured.out)
    assert captured.err == ""


def test_families_and_datasets_are_listed_from_their_registries(capsys: Captured) -> None:
    assert run("families", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {"lenet", "resnet", "vgg"} <= {each["name"] for each in found["families"]}
    assert all(each["about"] for each in found["families"])
    assert run("datasets", "--json") == 0
    assert {"digits", "folder:PATH"} <= {each["spelled"] for each in json.loads(capsys.readouterr().out)}


def test_data_is_checked_and_drawn(capsys: Captured, tmp_path: Path, home: Path) -> None:
    sheet = tmp_path / "sheet.png"
    assert run("datasets", "check", "digits", "--sheet", str(sheet), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert sum(report["sizes"].values()) == 1797
    assert report["contact_sheet"] == str(sheet)
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert run("datasets", "check", "digits") == 0
    assert f"contact sheet: {Home(home).root}/digits-contact-sheet.png" in capsys.readouterr().out
