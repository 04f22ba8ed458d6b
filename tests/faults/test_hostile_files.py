"""Hostile files at every door: one line that says why, exit code 2, and neither gigabytes nor minutes."""

from __future__ import annotations

import os
import re
import shutil
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import pytest
from PIL import Image

from convscout.search_space.errors import DataError, ExportError, UserError
from convscout.services.cli import main
from convscout.services.config.toml import load_toml
from convscout.services.export.formats.bundle import load_bundle, read_bundle
from convscout.services.export.onnx_model import ExportedModel
from convscout.services.export.writer import export
from convscout.trials.data.array_archive import ArrayArchive
from tests.faults.test_bad_input import Captured, refused
from tests.support.hostile_files import BUNDLES, EXPORTS, SETTINGS, change_bundle, replace_config
from tests.support.reading_back import read_back_here
from tests.support.trained_ensembles import random_images, trained_ensemble

MOST_BYTES = 100_000_000


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Within, Python may not allocate more than a hostile file is worth."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_take_for_ever_are_refused_at_once(name: str, tmp_path: Path) -> None:
    text, message = SETTINGS[name]
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(UserError, match=message), bounded_memory():
        load_toml(tmp_path / "study.toml")


def test_settings_are_read_from_files_alone(tmp_path: Path, capsys: Captured) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", str(tmp_path / "pipe")):
        [line] = refused(capsys, "search", "--config", path, "--home", str(tmp_path / "home"))
        assert line == f"{path}: is not a regular file; --config must be a TOML file"
    assert not (tmp_path / "home").exists()


def test_a_key_that_is_as_long_as_a_book_is_refused_at_once(tmp_path: Path, capsys: Captured) -> None:
    """The nearest name to it would be sought for minutes, and told at its whole length."""
    (tmp_path / "study.toml").write_text(
        f'study.name = "a"\nstudy.data = "digits"\nstudy.{"a" * 60_000} = 1\n'
    )
    began = time.process_time()
    [line] = refused(
        capsys, "search", "--config", str(tmp_path / "study.toml"), "--home", str(tmp_path / "home")
    )
    assert time.process_time() - began < 5
    assert "(60,006 characters): is not a setting" in line and len(line) < 1000


def test_settings_may_begin_with_the_mark_that_windows_writes(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_bytes(b'\xef\xbb\xbfstudy.name = "a"')
    assert load_toml(tmp_path / "study.toml") == {"study.name": "a"}


def test_an_archive_that_unpacks_to_a_thousand_times_its_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("images.npy", "w") as file:
        for _ in range(40):
            file.write(bytes(10_000_000))
    with (
        bounded_memory(),
        pytest.raises(DataError, match=r"400 MB, more than 400 times as much.* numpy\.savez"),
    ):
        ArrayArchive(path)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of several formats, and beside it pictures of each class."""
    ensemble = trained_ensemble("lenet")
    directory = tmp_path_factory.mktemp("hostile") / "export"
    export(ensemble, directory, random_images(4, ensemble), formats=["bundle", "onnx"])
    for number, pixels in enumerate(random_images(len(ensemble.class_names), ensemble)):
        path = directory.parent / "pictures" / ensemble.class_names[number] / "a.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(pixels.squeeze()).save(path)
    return directory


@pytest.mark.parametrize("name", BUNDLES)
def test_a_hostile_bundle_is_refused_before_it_is_built(name: str, exported: Path, tmp_path: Path) -> None:
    change, message = BUNDLES[name]
    hostile = Path(shutil.copytree(exported, tmp_path / "hostile"))
    change_bundle(hostile, change)
    for read in (load_bundle, read_bundle):
        with pytest.raises(ExportError, match=message), bounded_memory():
            read(hostile)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"schema": 3, "image": ' + '{"a": ' * 100_000, "nul\0", "[3]", "3"]
)
def test_a_bundle_of_other_json_is_refused_by_each_command(
    text: str, exported: Path, tmp_path: Path, capsys: Captured
) -> None:
    hostile = Path(shutil.copytree(exported, tmp_path / "hostile"))
    replace_config(hostile, text)
    (tmp_path / "a.png").touch()
    [line] = refused(
        capsys, "explain", str(hostile), str(tmp_path / "a.png"), "--output", str(tmp_path / "seen")
    )
    assert "config.json does not describe an ensemble" in line
    assert not (tmp_path / "seen").exists()


EARLIER: dict[str, Callable[[Path], object]] = {
    "brackets": lambda path: path.write_text("[" * 100_000),
    "tables in tables": lambda path: path.write_text('{"explanations": ' + '{"a": ' * 100_000),
    "a pipe": os.mkfifo,
    "without an end": lambda path: path.symlink_to("/dev/zero"),
    "files that are numbers": lambda path: path.write_text(
        '{"explanations": [{"files": {"a": [1]}}], "files": 7}'
    ),
}


@pytest.mark.parametrize("name", EARLIER)
def test_an_earlier_explanation_that_is_hostile_vouches_for_no_file(
    name: str, exported: Path, tmp_path: Path, capsys: Captured
) -> None:
    output = tmp_path / "seen"
    output.mkdir()
    EARLIER[name](output / "explanations.json")
    (output / "thesis.txt").write_text("years of work")
    picture = next((exported.parent / "pictures").glob("*/*.png"))
    with bounded_memory():
        [line] = refused(capsys, "explain", str(exported), str(picture), "--output", str(output))
    assert "holds 'thesis.txt', which is not part of an explanation" in line
    assert (output / "thesis.txt").exists()


@pytest.mark.parametrize("name", EXPORTS)
def test_a_hostile_export_is_refused_by_each_command_that_reads_it(
    name: str, exported: Path, tmp_path: Path, capsys: Captured
) -> None:
    change, doors, message = EXPORTS[name]
    hostile = Path(shutil.copytree(exported, tmp_path / "hostile"))
    change(hostile)
    pictures = exported.parent / "pictures"
    picture = next(pictures.glob("*/*.png"))
    with read_back_here("verify"):
        for door, rest in {
            "verify": [],
            "evaluate": ["--data", pictures],
            "predict": [picture],
            "explain": [picture, "--output", tmp_path / "seen"],
            "serve-model": ["--port", 0],
        }.items():
            if door not in doors:
                continue
            with bounded_memory(), pytest.raises(SystemExit) as ended:
                main([door, str(hostile), *map(str, rest)])
            first, *others = capsys.readouterr().err.splitlines()
            # that an export does not hold what it says is what `verify` finds; it is no mistake of who asks
            assert ended.value.code in ({1, 2} if door == "verify" else {2}), first
            assert re.search(message, first), first
            assert first.startswith("error: ") and "traceback" not in first
            assert all(line.startswith("next: ") for line in others), others
    assert not (tmp_path / "seen").exists()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("image_size", "1000000000", "images cannot have 3 channels and 1000000000 pixels a side"),
        ("in_channels", "7", "images cannot have 7 channels"),
        ("class_names", "[" * 100_000, "RecursionError|recursion|is no exported ensemble"),
        ("class_names", "[1, 2]", "class_names must be texts"),
        ("image_size", "", "is no exported ensemble"),
    ],
)
def test_an_onnx_file_with_hostile_metadata_is_refused(
    key: str, value: str, message: str, tmp_path: Path
) -> None:
    given = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, ["N", "H", "W", 3])
    told = onnx.helper.make_tensor_value_info("probabilities", onnx.TensorProto.UINT8, ["N", "H", "W", 3])
    node = onnx.helper.make_node("Identity", ["images"], ["probabilities"])
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "hostile", [given], [told]),
        opset_imports=[onnx.helper.make_opsetid("", 18)],
        ir_version=9,
    )
    good = {"class_names": '["a", "b"]', "fingerprint": "f", "image_size": "16", "in_channels": "3"}
    onnx.helper.set_model_props(model, good)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    assert ExportedModel(tmp_path / "model.onnx").image_size == 16
    onnx.helper.set_model_props(model, good | {key: value})
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ExportError, match=message):
        ExportedModel(tmp_path / "model.onnx")
