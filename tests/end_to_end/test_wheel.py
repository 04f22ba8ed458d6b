"""The wheel is one package, ``convscout``, and works beside a project that has folders of the names of our rooms."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support.places import ROOT
from tests.support.service import serve_process

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOMS = ("search_space", "trials", "services")
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "runs", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis"
)


def run(*words: object, cwd: Path) -> str:
    """What the command says; it must end with 0."""
    done = subprocess.run(list(map(str, words)), cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with sdist and wheel, the wheel made from the sdist."""
    source, out = tmp_path_factory.mktemp("source") / "convscout", tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, source, symlinks=True, ignore=LEFT_OUT)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source, cwd=out)
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    [found] = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel, and with everything else from that of the tests."""
    root = tmp_path_factory.mktemp("fresh") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", root, cwd=root.parent)
    python = root / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--quiet", wheel, cwd=root)
    [site] = (root / "lib").glob("python*/site-packages")
    # a path in a .pth file is searched, but the .pth files there, such as that of our editable install, are not read
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))
    return python


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of a person who has packages of the same names, which must not be imported."""
    for room in ROOMS:
        (tmp_path / "project" / room).mkdir(parents=True)
        (tmp_path / "project" / room / "__init__.py").write_text("raise RuntimeError('somebody else')\n")
    return tmp_path / "project"


def test_wheel_and_sdist_are_well_formed(built: Path, wheel: Path) -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", *built.iterdir(), cwd=built)
    run(Path(sys.executable).with_name("check-wheel-contents"), wheel, cwd=built)
    run(Path(sys.executable).with_name("validate-pyproject"), ROOT / "pyproject.toml", cwd=built)


def test_the_wheel_has_one_name_and_all_its_data(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"convscout"}
    tracked = run("git", "ls-files", *ROOMS, cwd=ROOT).split()
    assert {f"convscout/{name}" for name in tracked} <= names
    assert "convscout/py.typed" in names


def test_nothing_is_found_under_two_names(installed: Path, tmp_path: Path) -> None:
    program = f"""
import importlib.util, sys
import convscout.services.studies.run
assert convscout.__file__.startswith({str(installed.parents[1])!r}), convscout.__file__
print([name for name in sys.modules if name.partition(".")[0] in {ROOMS}])
print([name for name in {ROOMS} if importlib.util.find_spec(name)])
"""
    assert run(installed, "-c", program, cwd=tmp_path).split("\n")[:2] == ["[]", "[]"]


def test_a_clone_in_the_directory_where_one_works_is_not_taken_for_the_package(tmp_path: Path) -> None:
    """An editable install, such as that of the tests, is found before a folder that is merely called so."""
    (tmp_path / "convscout").mkdir()
    found = run(sys.executable, "-c", "import convscout; print(convscout.__file__)", cwd=tmp_path)
    assert Path(found.strip()) == ROOT / "convscout" / "__init__.py"


@pytest.mark.parametrize("executor", ["in-process", "ray"])
def test_it_searches_beside_folders_of_those_names(executor: str, installed: Path, project: Path) -> None:
    options = [
        "--data",
        "digits",
        "--families",
        "lenet",
        "--trials",
        1,
        "--epochs",
        1,
        "--executor",
        executor,
    ]
    command = [installed, "-m", "convscout", "search", *options, "--workers", 1, "--study", "first"]
    assert "ensemble" in run(*command, "--formats", "bundle", cwd=project)
    assert (project / "runs" / "studies" / "first" / "export" / "config.json").exists()


def test_it_serves_beside_folders_of_those_names(
    installed: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    options = ["--data", "digits", "--families", "lenet", "--trials", 1, "--epochs", 1, "--study", "second"]
    with serve_process(project / "runs", python=installed) as told:
        run(installed, "-m", "convscout", "search", *options, "--server", told["url"], cwd=project)
    assert (project / "runs" / "studies" / "second" / "export" / "config.json").exists()
