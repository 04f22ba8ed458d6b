"""Bad input, from the command line: it is named with its rule; exit code 2, no traceback, nothing written."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomlkit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from convscout.services.cli import main
from convscout.services.config.study_config import SETTINGS

Captured = pytest.CaptureFixture[str]


def run(*arguments: str) -> int:
    """The exit code of the command line."""
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert isinstance(raised.value.code, int)
    return raised.value.code


def refused(capsys: Captured, *arguments: str) -> list[str]:
    """What the command line says of input that it refuses, a line each."""
    assert run(*arguments) == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    lines = [line for line in told.splitlines() if not line.startswith("reading the data")]
    assert lines and all(line.startswith(("error: ", "next: ")) for line in lines), lines
    return [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]


RATE_RULE = "space.sgd.learning_rate: must be a number in [1e-08, 1e+09]"
NAME_RULE = (
    "study.name: must be 1 to 64 letters (A to Z, a to z), digits, dashes or underscores, "
    "and not begin with a dash"
)

CONFIGURATIONS: dict[str, tuple[str, str]] = {
    "unknown key": (
        'budget.tiem = "10m"',
        "budget.tiem: is not a setting (did you mean 'budget.time'?), but got '10m'",
    ),
    "unknown knob": (
        "space.resnet.wdth = 3",
        "space.resnet.wdth: must be the full name of a knob of this study (see `convscout space`); "
        "did you mean 'resnet.width'?, but got 3",
    ),
    "wrong type": ('study.portfolio = "yes"', "study.portfolio: must be true or false, but got 'yes'"),
    "learning rate of zero": (
        "space.sgd.learning_rate = 0.0",
        f"{RATE_RULE}, but got 0.0",
    ),
    "learning rate of NaN": (
        "space.sgd.learning_rate = nan",
        f"{RATE_RULE}, but got nan",
    ),
    "minimum over maximum": (
        "space.resnet.width = {low = 64, high = 16}",
        "space.resnet.width: low <= high must hold, but got {'low': 64, 'high': 16}",
    ),
    "empty choices": (
        "space.resnet.width = {choices = []}",
        "space.resnet.width: choices must be a list with at least one value, but got {'choices': []}",
    ),
    "duplicate choices": (
        "space.resnet.width = {choices = [16, 16]}",
        "space.resnet.width: choices must be different from each other, but got {'choices': [16, 16]}",
    ),
    "duplicate families": (
        'study.families = ["lenet", "lenet"]',
        "study.families: must name each one only once, but got ['lenet', 'lenet']",
    ),
    "a billion trials": (
        "budget.trials = 1000000000",
        "budget.trials: must be a whole number from 1 to 100,000, but got 1000000000",
    ),
    "name with a path": (
        'study.name = "../x"',
        f"{NAME_RULE}, such as 'x', but got '../x'",
    ),
    "name too long": (
        f'study.name = "{"a" * 65}"',
        f"{NAME_RULE}, such as {'a' * 64!r}, but got {'a' * 65!r}",
    ),
    "no name at all": ('study.name = ""', f"{NAME_RULE}, such as 'study', but got ''"),
}


@pytest.mark.parametrize("fault", CONFIGURATIONS)
def test_a_bad_configuration_is_explained(fault: str, tmp_path: Path, capsys: Captured) -> None:
    line, message = CONFIGURATIONS[fault]
    file, home = tmp_path / "study.toml", tmp_path / "home"
    file.write_text(f'study.data = "digits"\n{line}\n', encoding="utf-8")
    (told,) = refused(capsys, "search", "--config", str(file), "--home", str(home))
    assert told == message
    assert not home.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'study.name = "caf\xe9"', "must be UTF-8"),
        (b"study = [", "is not valid TOML"),
        (b'study.name = "a"\nstudy.name = "b"', "is not valid TOML"),
    ],
    ids=["encoding", "syntax", "duplicate key"],
)
def test_a_file_that_cannot_be_read_is_named(
    content: bytes, message: str, tmp_path: Path, capsys: Captured
) -> None:
    file, home = tmp_path / "study.toml", tmp_path / "home"
    file.write_bytes(content)
    told = "\n".join(refused(capsys, "search", "--config", str(file), "--home", str(home)))
    assert told.startswith(str(file)) and message in told
    assert not home.exists()


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path, capsys: Captured) -> None:
    lines = [line for line, _ in CONFIGURATIONS.values() if not line.startswith("space.")]
    unlike = {line.partition(" ")[0]: line for line in lines}
    file, home = tmp_path / "study.toml", tmp_path / "home"
    file.write_text("\n".join(unlike.values()), encoding="utf-8")
    told = refused(capsys, "search", "--config", str(file), "--home", str(home))
    assert {line.partition(":")[0] for line in told} == {*unlike, "study.data"}
    assert not home.exists()


def _picture(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), level, dtype=np.uint8)).save(path)


def _tree(root: Path, *, images: int = 30, classes: int = 2) -> Path:
    for label in range(classes):
        for index in range(images):
            _picture(root / f"class{label}" / f"{index}.png", 8 * index + label)
    return root


def _npz(file: Path, **arrays: Any) -> str:
    np.savez(file, **arrays)
    return f"npz:{file}"


_PIXELS = np.zeros((30, 8, 8), dtype=np.uint8)
_LABELS = np.arange(30) % 3


def _empty(root: Path) -> str:
    (root / "empty").mkdir()
    return f"folder:{root / 'empty'}"


def _one_class(root: Path) -> str:
    return f"folder:{_tree(root / 'tree', classes=1)}"


def _empty_class(root: Path) -> str:
    (_tree(root / "tree") / "nothing").mkdir()
    return f"folder:{root / 'tree'}"


def _few_images(root: Path) -> str:
    return f"folder:{_tree(root / 'tree', images=1, classes=5)}"


def _link_loop(root: Path) -> str:
    (root / "tree").mkdir()
    (root / "tree" / "again").symlink_to(root / "tree")
    return f"folder:{root / 'tree'}"


DATA: dict[str, tuple[Callable[[Path], str], str]] = {
    "missing directory": (
        lambda root: f"folder:{root / 'nowhere'}",
        "nowhere does not exist; give the directory that holds the class folders",
    ),
    "empty directory": (_empty, "empty has no class folders; each class needs a folder of its own"),
    "one class": (_one_class, "needs at least two classes, but has 1: class0"),
    "an empty class": (
        _empty_class,
        "nothing has no images (",
    ),
    "fewer images than classes need": (
        _few_images,
        "each class needs at least 3 readable training image(s), so that each split gets one, but these have fewer: "
        "class0 (1), class1 (1)",
    ),
    "symlink loop": (_link_loop, "so its images would count twice or without end; remove the link"),
    "label over the classes": (
        lambda root: _npz(root / "x.npz", images=_PIXELS, labels=_LABELS, class_names=np.array(["a", "b"])),
        "labels must lie in [0, 1], as there are 2 classes",
    ),
    "fewer images than classes": (
        lambda root: _npz(root / "x.npz", images=_PIXELS, labels=_LABELS + 10**9),
        "there must not be fewer images than classes",
    ),
    "sizes that differ": (
        lambda root: _npz(
            root / "x.npz", x_train=_PIXELS, y_train=_LABELS, x_test=_PIXELS[:, :7, :7], y_test=_LABELS
        ),
        "the images of all splits must have one shape",
    ),
    "channels that differ": (
        lambda root: _npz(
            root / "x.npz",
            x_train=_PIXELS[..., None].repeat(3, axis=-1),
            y_train=_LABELS,
            x_test=_PIXELS,
            y_test=_LABELS,
        ),
        "the images of all splits must have one shape",
    ),
    "text": (
        lambda root: _npz(root / "x.npz", images=np.array(["a"] * 30), labels=_LABELS),
        "must hold whole numbers or floats",
    ),
    "pickle": (
        lambda root: _npz(root / "x.npz", images=np.array([{"not": "numbers"}] * 30), labels=_LABELS),
        "a pickle can run code and is never read",
    ),
}


@pytest.mark.parametrize("fault", DATA)
def test_bad_data_is_explained_and_no_study_begun(fault: str, tmp_path: Path, capsys: Captured) -> None:
    make, message = DATA[fault]
    data, home = make(tmp_path), tmp_path / "home"
    told = "\n".join(refused(capsys, "search", "--data", data, "--time", "1m", "--home", str(home)))
    assert message in told
    assert not (home / "convscout.db").exists() and not (home / "studies").exists()


PATHS = [setting.path for setting in SETTINGS.values()]
SCALARS = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["digits", "10m", "1.5M", "auto", "lenet", "tpe,", "+5", "../x", "npz:x", "folder:", "1/0"]
    ),
    st.dates(),
    st.datetimes(max_value=datetime.datetime(9000, 1, 1)),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
KNOBS = st.dictionaries(
    st.sampled_from(["resnet.width", "sgd.learning_rate", "recipe.optimizer", "lenet", "x"])
    | st.text(max_size=8),
    VALUES | st.dictionaries(st.sampled_from(["low", "high", "log", "choices"]), VALUES),
    max_size=3,
)
DOCUMENTS = st.dictionaries(st.sampled_from(PATHS) | st.text(max_size=12), VALUES, max_size=6)


@pytest.mark.slow
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=DOCUMENTS, knobs=KNOBS, raw=st.binary(max_size=40), spoilt=st.integers(0, 9))
def test_no_file_of_settings_leads_to_a_traceback(
    document: Mapping[str, Any],
    knobs: Mapping[str, Any],
    raw: bytes,
    spoilt: int,
    tmp_path: Path,
    capsys: Captured,
) -> None:
    home, file = tmp_path / "home", tmp_path / "study.toml"
    tree: dict[str, Any] = {"space": dict(knobs)}
    for path, value in document.items():
        section, _, key = path.partition(".")
        table = tree.setdefault(section, {})
        if isinstance(table, dict):
            table[key] = value
    try:
        content = tomlkit.dumps(tree).encode()
    except (ValueError, TypeError, UnicodeEncodeError):  # such text is no TOML
        content = repr(tree).encode("utf-8", "replace")
    file.write_bytes(content + raw if spoilt == 0 else content)
    code = run("config", "--config", str(file), "--home", str(home))
    captured = capsys.readouterr()
    assert code in (0, 2), captured.err
    if code == 2:
        refused(capsys, "search", "--config", str(file), "--home", str(home))
    assert not home.exists()


@pytest.mark.parametrize(("share", "value"), [("0", "0.0"), ("2", "2.0"), ("half", "'half'")])
def test_a_share_of_the_images_that_is_none_is_refused(
    share: str, value: str, tmp_path: Path, capsys: Captured
) -> None:
    home = tmp_path / "home"
    (told,) = refused(capsys, "search", "--data", "digits", "--data-share", share, "--home", str(home))
    assert told == f"data.share: must be a share above 0 and at most 1, but got {value}"
    assert not home.exists()


@pytest.mark.parametrize("command", ["show", "resume", "check", "trials", "stop"])
def test_a_study_that_is_not_there_is_named(command: str, tmp_path: Path, capsys: Captured) -> None:
    (told,) = refused(capsys, command, "nowhere", "--home", str(tmp_path / "home"))
    assert told.startswith("no study 'nowhere' under ")
    shutil.rmtree(tmp_path / "home", ignore_errors=True)
