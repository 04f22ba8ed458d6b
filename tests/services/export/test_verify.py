"""An export can be checked again: every file, and that all formats still answer alike."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from convscout.search_space.errors import ConvscoutError, ExportError, UserError
from convscout.services.ensembles.trained import TrainedEnsemble
from convscout.services.export.checksums import write_checksums
from convscout.services.export.verify import image_shape, verify_export
from convscout.services.export.writer import export
from tests.services.cli.test_study import Captured, run
from tests.support.trained_ensembles import random_images, trained_ensemble

FORMATS = ("bundle", "onnx", "pt2", "standalone", "docker")


@pytest.fixture(scope="module")
def ensemble() -> TrainedEnsemble:
    return trained_ensemble("lenet", channels=1, image_size=8)


@pytest.fixture(scope="module")
def exported(ensemble: TrainedEnsemble, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("exported") / "export"
    export(ensemble, directory, random_images(40, ensemble), formats=FORMATS)
    return directory


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "copied"))


@pytest.mark.slow
def test_each_format_is_asked_in_a_process_of_its_own(exported: Path, ensemble: TrainedEnsemble) -> None:
    found = verify_export(exported, random_images(300, ensemble))
    assert set(found) == {"bundle", "onnx", "pt2"}
    assert all(parity.passed and parity.num_images == 304 for parity in found.values())
    assert {1, 2, 33} <= set(found["onnx"].batch_sizes)


def test_it_needs_no_format_but_those_that_are_there(ensemble: TrainedEnsemble, tmp_path: Path) -> None:
    export(ensemble, tmp_path / "export", random_images(8, ensemble), formats=["bundle"])
    assert image_shape(tmp_path / "export") == (8, 8, 1)
    assert set(verify_export(tmp_path / "export")) == {"bundle"}


def test_a_record_that_tells_nothing_is_refused(ensemble: TrainedEnsemble, tmp_path: Path) -> None:
    for content, said in (
        ("{}", "holds no format that computes"),
        ("[1]", "must hold what each format came to"),
        ('{"bundle": {"shapes": []}}', "does not tell the shape of the images"),
        ('{"onyx": {"shapes": [[8, 8, 1]]}}', "unknown export format 'onyx'"),
        ('{"docker": {"shapes": [[8, 8, 1]]}}', "'docker' computes nothing"),
    ):
        target = tmp_path / str(hash(content))
        target.mkdir()
        (target / "parity.json").write_text(content)
        write_checksums(target)
        with pytest.raises(UserError, match=said):
            verify_export(target)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_format_that_was_exchanged_is_found(copied: Path, tmp_path: Path) -> None:
    """With fitting hashes: whoever changed it made them anew."""
    other = trained_ensemble("resnet", channels=1, image_size=8)
    export(other, tmp_path / "other", random_images(8, other), formats=["onnx"])
    shutil.copy(tmp_path / "other" / "model.onnx", copied / "model.onnx")
    (copied / "SHA256SUMS").unlink()
    write_checksums(copied)
    with pytest.raises(ConvscoutError, match=r"onnx in .* does not answer as bundle does: .* of 304 answers"):
        verify_export(copied)


def test_a_flipped_byte_is_found_before_anything_is_read(copied: Path) -> None:
    content = bytearray((copied / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (copied / "model.onnx").write_bytes(content)
    with pytest.raises(ExportError, match=r"model\.onnx is damaged or was changed"):
        verify_export(copied)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_from_the_command_line(exported: Path, tmp_path: Path, capsys: Captured) -> None:
    assert run("verify", exported, "--data", "digits", "--home", tmp_path, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["formats"]) == {"bundle", "onnx", "pt2"}
    assert all(each["max_difference"] < 1e-4 for each in told["formats"].values())
    assert run("verify", exported) == 0
    assert "is as it was written" in capsys.readouterr().out
    assert run("verify", tmp_path) == 2
    assert "is not an export" in capsys.readouterr().err
