"""`convscout predict`: tables, CSV and JSON of many files, as they come and whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
from PIL import Image

from convscout.search_space.errors import ConvscoutError
from convscout.services.ensembles.trained import TrainedEnsemble
from convscout.services.export.writer import export
from convscout.services.inference.images import pictures_of
from convscout.services.inference.predict import load_model, predict, predictions
from convscout.services.system.files import writing
from convscout.trials.data.white import FULL
from tests.services.cli.test_study import Captured, run
from tests.support.reading_back import read_back_here
from tests.support.trained_ensembles import random_images, trained_ensemble


@pytest.fixture(scope="module")
def ensemble() -> TrainedEnsemble:
    return trained_ensemble("lenet")


@pytest.fixture(scope="module")
def exported(ensemble: TrainedEnsemble, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("exported") / "export"
    with read_back_here():
        export(ensemble, directory, random_images(16, ensemble), formats=["onnx"])
    return directory


@pytest.fixture
def photos(ensemble: TrainedEnsemble, tmp_path: Path) -> Path:
    """Seven images and a file that is none, the fourth of them by name."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for index, pixels in enumerate(random_images(7, ensemble, seed=1)):
        Image.fromarray(pixels).save(photos / f"{index}.png")
    (photos / "2x.png").touch()
    return photos


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_table_has_a_row_a_class_and_names_what_it_cannot_read(
    exported: Path, photos: Path, capsys: Captured
) -> None:
    assert run("predict", exported, photos, "--top", "2", "--batch-size", "3") == 2
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0].split() == ["image", "class", "probability"] and len(lines) == 1 + 7 * 2 + 1
    expected = predict(exported, [str(photos)], top=2)
    assert lines[1].startswith(f"{photos / '0.png'}   {expected[0].class_name} ")  # as wide as 2x.png
    assert lines[1].endswith(f"{expected[0].probability:.4f}")
    assert lines[2].split()[-1] == f"{expected[0].top[1].probability:.4f}"
    assert f"{photos / '2x.png'}  unreadable: is empty (0 bytes)" in lines
    assert (
        f"error: 1 of 8 files could not be read as images: {photos / '2x.png'} is empty (0 bytes)"
        in captured.err
    )


def test_csv_has_a_row_an_image_whatever_it_came_to(exported: Path, photos: Path, capsys: Captured) -> None:
    assert run("predict", exported, photos, "--csv", "--top", "2") == 2
    rows = rows_of(capsys.readouterr().out)
    columns = ["path", "class", "probability", "class_2", "probability_2", "reason"]
    assert list(rows[0]) == columns and len(rows) == 8
    for row, expected in zip(rows, predict(exported, [str(photos)], top=2), strict=True):
        assert (row["path"], row["class"], row["reason"]) == (
            expected.path,
            expected.class_name,
            expected.reason,
        )
        for place, guess in enumerate(expected.top):
            assert float(row["probability_2" if place else "probability"]) == pytest.approx(
                guess.probability, rel=1e-5
            )


def test_json_is_one_list_of_what_python_gets(exported: Path, photos: Path, capsys: Captured) -> None:
    assert run("predict", exported, photos, "--json", "--top", "3", "--batch-size", "2") == 0
    said = json.loads(capsys.readouterr().out)
    assert [each["path"] for each in said] == [each.path for each in predict(exported, [str(photos)])]
    for each, expected in zip(said, predict(exported, [str(photos)], top=3), strict=True):
        assert each["reason"] == expected.reason and len(each["top"]) == len(expected.top)
        for guess, wanted in zip(each["top"], expected.top, strict=True):
            assert guess["class_name"] == wanted.class_name
            assert guess["probability"] == pytest.approx(wanted.probability, abs=1e-5)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_file_is_written_whole_by_its_suffix(
    exported: Path, photos: Path, tmp_path: Path, capsys: Captured, suffix: str
) -> None:
    target = tmp_path / "new" / f"answers{suffix}"
    assert run("predict", exported, photos, "--output", target) == 2
    captured = capsys.readouterr()
    assert captured.out == f"written: {target} (7 images)\n" and "1 of 8 files" in captured.err
    text = target.read_text(encoding="utf-8")
    paths = (
        [row["path"] for row in rows_of(text)]
        if suffix == ".csv"
        else [json.loads(line)["path"] for line in text.splitlines()]
    )
    assert paths == [each.path for each in predict(exported, [str(photos)])]
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_more_classes_than_there_are_make_no_empty_columns(
    exported: Path, photos: Path, capsys: Captured
) -> None:
    assert run("predict", exported, photos / "0.png", "--csv", "--top", "99") == 0
    assert len(rows_of(capsys.readouterr().out)[0]) == 1 + 2 * 4 + 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--output", "answers.xlsx"], "output: must end in .csv or .jsonl"),
        (["--output", "."], "output: must be a file"),
        (["--json", "--csv"], "only one of --json, --csv and --output"),
        (["--csv", "--output", "answers.csv"], "only one of --json, --csv and --output"),
        (["--batch-size", "0"], "--batch-size"),
        (["--top", "0"], "--top"),
    ],
)
def test_wrong_options_are_refused_and_nothing_is_written(
    exported: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
    options: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("predict", exported, photos, *options) == 2
    captured = capsys.readouterr()
    assert told in captured.err and captured.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_file_whose_writing_fails_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text("old")
    with pytest.raises(ConvscoutError, match="cannot write"), writing(tmp_path / "answers.csv") as file:
        file.write("new")
        raise OSError(28, "No space left on device")
    assert (tmp_path / "answers.csv").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["answers.csv"]


def test_files_are_read_a_batch_at_a_time(exported: Path, photos: Path) -> None:
    pictures = pictures_of(str(photos), FULL)
    answers = predictions(load_model(exported), pictures, batch_size=3)
    first = list(islice(answers, 3))
    for file in (Path(each.name) for each in pictures[3:6]):
        file.unlink()
    rest = list(answers)
    assert [each.readable for each in [*first, *rest]] == [True, True, True, False, False, False, True, True]
    assert {each.reason for each in rest if not each.readable} == {"does not exist"}


def test_answers_go_to_stdout_and_progress_to_stderr(exported: Path, photos: Path) -> None:
    """Also where a terminal shows the progress, which draws it in place."""
    master, slave = os.openpty()
    code = "from convscout.services.cli import run; run()"
    command = [sys.executable, "-c", code, "predict", str(exported), str(photos / "0.png")]
    command += [str(photos / "1.png"), "--csv", "--batch-size", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=slave, text=True) as process:
        os.close(slave)
        assert process.stdout is not None
        out = process.stdout.read()
        assert process.wait() == 0
    shown = os.read(master, 100_000).decode()
    os.close(master)
    assert [Path(row["path"]).name for row in rows_of(out)] == ["0.png", "1.png"]
    assert "classifying" in shown and "2 of 2" in shown and "probability" not in shown


@pytest.mark.slow
def test_a_name_that_is_no_text_is_shown_as_far_as_it_is(exported: Path, photos: Path) -> None:
    strange = os.fsencode(photos) + b"/caf\xe9.png"
    Path(os.fsdecode(strange)).write_bytes((photos / "0.png").read_bytes())
    code = "from convscout.services.cli import run; run()"
    for option in ([], ["--csv"], ["--json"]):
        command = [os.fsencode(sys.executable), b"-c", code.encode(), b"predict", os.fsencode(exported)]
        done = subprocess.run([*command, strange, *map(os.fsencode, option)], capture_output=True, check=True)
        assert "caf�.png" in done.stdout.decode()
