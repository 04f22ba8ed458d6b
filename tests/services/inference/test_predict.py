"""Image files are classified alike by convscout and by the exported script, and unreadable ones are named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.resources import as_file, files
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from convscout.search_space.errors import ConfigError, DataError, ExportError
from convscout.services.ensembles.trained import TrainedEnsemble
from convscout.services.export.onnx_model import read_onnx
from convscout.services.export.writer import export
from convscout.services.inference.images import Pictures
from convscout.services.inference.predict import Prediction, predict, probabilities
from convscout.trials.data.image_files import name_formats, read_pixels
from convscout.trials.data.splits import Pixels
from convscout.trials.data.white import FULL
from tests.support.image_modes import MODES, ImageMode
from tests.support.packing import png_header
from tests.support.reading_back import read_back_here
from tests.support.trained_ensembles import random_images, trained_ensemble


@pytest.fixture(scope="module")
def ensemble() -> TrainedEnsemble:
    return trained_ensemble("lenet", "resnet")


@pytest.fixture(scope="module")
def exported(ensemble: TrainedEnsemble, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("exported") / "export"
    with read_back_here():
        export(ensemble, directory, random_images(64, ensemble))
    return directory


@pytest.fixture(scope="module")
def images(ensemble: TrainedEnsemble) -> Pixels:
    return random_images(5, ensemble, seed=1)


@pytest.fixture
def photos(images: Pixels, tmp_path: Path) -> Path:
    """Five images as PNG, one of them in a folder, among files that are no images."""
    photos = tmp_path / "photos"
    (photos / "more").mkdir(parents=True)
    (photos / ".hidden").mkdir()
    for index, pixels in enumerate(images):
        Image.fromarray(pixels).save(photos / ("more" if index == 4 else ".") / f"{index}.png")
    shutil.copy(photos / "0.png", photos / ".hidden" / "0.png")
    (photos / "notes.txt").write_text("not an image")
    return photos


def _expected(ensemble: TrainedEnsemble, images: Pixels) -> list[dict[str, float]]:
    answers = ensemble.build_module().answer(images)
    return [dict(zip(ensemble.class_names, map(float, answer), strict=True)) for answer in answers]


def _answers(predictions: list[Prediction]) -> list[dict[str, float]]:
    return [{best.class_name: best.probability for best in prediction.top} for prediction in predictions]


def _assert_alike(answers: list[dict[str, float]], expected: list[dict[str, float]]) -> None:
    assert len(answers) == len(expected)
    for answer, wanted in zip(answers, expected, strict=True):
        assert answer == pytest.approx(wanted, abs=1e-4)
        assert list(answer.values()) == sorted(answer.values(), reverse=True)


# convscout's own


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_a_directory_is_answered_as_torch_does(
    exported: Path, ensemble: TrainedEnsemble, photos: Path, images: Pixels, batch_size: int
) -> None:
    predictions = predict(exported, [str(photos)], top=4, batch_size=batch_size)
    names = [os.path.relpath(prediction.path, photos) for prediction in predictions]
    assert names == ["0.png", "1.png", "2.png", "3.png", "more/4.png"]
    _assert_alike(_answers(predictions), _expected(ensemble, images))


def test_files_and_globs_are_expanded_in_order(exported: Path, photos: Path) -> None:
    paths = [str(photos / "3.png"), str(photos / "[01].png"), str(photos / "**" / "4.*")]
    names = [Path(prediction.path).name for prediction in predict(exported, paths)]
    assert names == ["3.png", "0.png", "1.png", "4.png"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(exported: Path, photos: Path) -> None:
    shutil.copy(photos / "3.png", photos / "[01].png")
    (prediction,) = predict(exported, [str(photos / "[01].png")])
    assert Path(prediction.path).name == "[01].png" and prediction.readable


def test_unreadable_files_are_named_and_do_not_disturb_the_others(exported: Path, photos: Path) -> None:
    (photos / "a.png").write_bytes((photos / "0.png").read_bytes()[:300])
    (photos / "b.png").touch()
    (photos / "c.jpg").write_text("text")
    (photos / "d.png").write_bytes(png_header(8000, 8000))
    Image.new("L", (8, 8)).save(photos / "e.tga")
    (photos / "empty").mkdir()
    os.mkfifo(photos / "pipe.png")
    paths = [str(photos), str(photos / "missing.png"), str(photos / "empty"), str(photos / "*.webp")]
    predictions = predict(exported, paths)
    reasons = {Path(p.path).name: p.reason for p in predictions if not p.readable}
    assert reasons.keys() == {
        "a.png", "b.png", "c.jpg", "d.png", "e.tga", "pipe.png", "missing.png", "empty", "*.webp",
    }  # fmt: skip
    assert "cannot be decoded" in reasons["a.png"]
    assert reasons["b.png"] == "is empty (0 bytes)"
    assert reasons["c.jpg"] == f"is not {name_formats()} image"
    assert reasons["e.tga"] == "is a .tga file; convert it to PNG"
    assert "more than 150 MB" in reasons["d.png"]
    assert reasons["pipe.png"] == "is not a regular file"
    assert reasons["missing.png"] == reasons["*.webp"] == "does not exist"
    assert "has no image files" in reasons["empty"]
    readable = [prediction for prediction in predictions if prediction.readable]
    assert readable == predict(exported, [str(photos / f"{index}.png") for index in range(4)]) + predict(
        exported, [str(photos / "more")]
    )


def test_a_prediction_tells_its_best_class(exported: Path, photos: Path) -> None:
    (prediction,) = predict(exported, [str(photos / "0.png")], top=2)
    assert (prediction.class_name, prediction.probability) == (
        prediction.top[0].class_name,
        prediction.top[0].probability,
    )
    values = json.loads(json.dumps(prediction.to_dict()))
    assert len(values["top"]) == 2 and values["reason"] == ""
    assert len(predict(exported, [str(photos / "0.png")], top=99)[0].top) == 4


def test_arrays_are_answered_as_torch_does(exported: Path, ensemble: TrainedEnsemble, images: Pixels) -> None:
    answers = probabilities(exported, images, batch_size=2)
    expected = [list(answer.values()) for answer in _expected(ensemble, images)]
    np.testing.assert_allclose(answers, expected, atol=1e-4)


def test_a_picture_has_one_answer_in_every_form(exported: Path, tmp_path: Path) -> None:
    wide = np.random.default_rng(3).integers(256, size=(20, 31, 3), dtype=np.uint8)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    forms: list[Pictures] = [wide, wide / 255, Image.fromarray(wide), tmp_path / "wide.png", wide.astype(int)]
    answers = probabilities(exported, forms)
    np.testing.assert_array_equal(answers, np.broadcast_to(answers[0], answers.shape))
    found = predict(exported, forms, top=1)
    names = ["images[0]", "images[1]", "images[2]", str(tmp_path / "wide.png"), "images[4]"]
    assert [each.path for each in found] == names and len({each.top for each in found}) == 1
    assert found[3:4] == predict(exported, str(tmp_path / "wide.png"), top=1)


def test_no_images_have_no_answers(exported: Path, ensemble: TrainedEnsemble) -> None:
    none = np.empty((0, 16, 16, 3), np.uint8)
    assert probabilities(exported, none).shape == probabilities(exported, []).shape == (0, 4)
    assert read_onnx(exported)(none).shape == ensemble.build_module().answer(none).shape == (0, 4)
    assert predict(exported, []) == []


def test_an_array_of_answers_has_no_gaps(exported: Path, photos: Path) -> None:
    with pytest.raises(DataError, match=r"notes\.txt: is not a PNG"):
        probabilities(exported, [photos / "0.png", photos / "notes.txt"])


def test_numbers_below_one_are_refused_together(exported: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        predict(exported, [], top=0, batch_size=-1)
    assert [problem.field for problem in caught.value.problems] == ["top", "batch_size"]


def test_a_damaged_export_is_refused(exported: Path, photos: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(exported, tmp_path / "damaged"))
    content = bytearray((damaged / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (damaged / "model.onnx").write_bytes(content)
    with pytest.raises(ExportError, match=r"model\.onnx is damaged or was changed"):
        predict(damaged, [str(photos)])


def test_an_export_without_onnx_is_refused(ensemble: TrainedEnsemble, tmp_path: Path) -> None:
    export(ensemble, tmp_path / "export", random_images(4, ensemble), formats=["bundle"])
    with pytest.raises(ExportError, match=r"was exported without model\.onnx"):
        predict(tmp_path / "export", [])


# the exported script


def test_the_script_alone_answers_as_torch_does(
    exported: Path, ensemble: TrainedEnsemble, photos: Path, images: Pixels, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("model.onnx", "predict.py"):
        shutil.copy(exported / name, alone)
    found = _run_script(alone, "--json", "--top", "4", *(str(photos / f"{index}.png") for index in range(4)))
    assert found.returncode == 0, found.stderr
    answers = [json.loads(line)["top"] for line in found.stdout.splitlines()]
    _assert_alike(answers, _expected(ensemble, images[:4]))


def test_the_script_prints_classes_and_names_what_it_cannot_read(exported: Path, photos: Path) -> None:
    os.mkfifo(photos / "pipe.png")
    paths = [str(photos / name) for name in ("notes.txt", "pipe.png", "0.png")]
    found = _run_script(exported, *paths)
    assert found.returncode == 1
    assert "notes.txt: cannot be read" in found.stderr
    assert "pipe.png: cannot be read: is not a regular file" in found.stderr
    (best, *_) = predict(exported, [str(photos / "0.png")])[0].top
    assert found.stdout.startswith(f"{photos / '0.png'}: {best.class_name} {best.probability:.4f}, ")


def test_the_script_refuses_a_number_of_classes_below_one(exported: Path) -> None:
    found = _run_script(exported, "--top", "0", "0.png")
    assert found.returncode == 2 and "--top must be a whole number from 1, but is 0" in found.stderr


def _run_script(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # -I keeps convscout and the tests off the path, as on a machine that has neither
    command = [sys.executable, "-I", "-W", "error", str(directory / "predict.py"), *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, encoding="utf-8", timeout=60)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    with as_file(files("convscout.services.export.templates") / "predict.py") as path:
        spec = spec_from_file_location("exported_script", path)
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "mode", [mode for mode in MODES if mode.shows is not None], ids=lambda mode: mode.name
)
def test_the_script_reads_files_as_training_does(
    script: ModuleType, tmp_path: Path, mode: ImageMode, channels: int
) -> None:
    path = tmp_path / mode.name
    path.write_bytes(mode.content)
    expected = read_pixels(path, 12, channels, white=mode.white)
    assert expected.std() > 10
    found = script.read_pixels(path, script.Wanted(12, channels, mode.white))
    np.testing.assert_array_equal(found, expected)


def test_the_script_obeys_orientation_palettes_and_size_limits(script: ModuleType, tmp_path: Path) -> None:
    turned, see_through, bomb = (tmp_path / name for name in ("turned.jpg", "see_through.png", "bomb.png"))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by a quarter
    _picture("RGB").save(turned, exif=exif)
    _picture("P").save(see_through, transparency=3)
    for path in (turned, see_through):
        np.testing.assert_array_equal(
            script.read_pixels(path, script.Wanted(16, 3, FULL)), read_pixels(path, 16, 3)
        )
    bomb.write_bytes(png_header(8000, 8000))
    with pytest.raises(ValueError, match="more than 150 MB"):
        script.read_pixels(bomb, script.Wanted(16, 3, FULL))


def _picture(mode: str) -> Image.Image:
    """A wide picture with soft and hard edges, in ``mode``."""
    y, x = np.mgrid[0:40, 0:70]
    levels = (127 + 90 * np.sin(x / 5) + 30 * (y > 20)).clip(0, 255)
    colours = np.stack([levels, levels[::-1], 255 - levels], axis=-1)  # (H, W, 3)
    return Image.fromarray(colours.astype(np.uint8)).convert(mode)
