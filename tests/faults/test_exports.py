"""Row 28 of the faults: an export that is killed leaves the old one whole; what is damaged or foreign is refused.

I5: whatever lies under the export's name is complete and matches its hashes. I7: no process outlives the one killed.
"""

from __future__ import annotations

import pickle
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from convscout.search_space.errors import ConvscoutError, ExportError
from convscout.services.ensembles.trained import TrainedEnsemble
from convscout.services.export.checksums import verify, write_checksums
from convscout.services.export.formats.bundle import load_bundle
from convscout.services.export.verify import verify_export
from convscout.services.export.writer import export
from convscout.services.inference.predict import load_model
from convscout.trials.checkpoints.kill_points import EXIT_CODE, VARIABLE
from tests.support.forked import Forked
from tests.support.planes import until
from tests.support.soaking import repetitions
from tests.support.trained_ensembles import random_images, trained_ensemble

KILLS = repetitions(2, 100)
FORMATS = ("bundle", "onnx", "pt2")


@pytest.fixture(scope="module")
def older() -> TrainedEnsemble:
    return trained_ensemble("lenet", channels=1, image_size=8)


@pytest.fixture(scope="module")
def exported(older: TrainedEnsemble, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("exported") / "export"
    export(older, directory, random_images(40, older), formats=FORMATS)
    return directory


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "export"))


def _export(directory: Path, formats: str) -> None:
    ensemble = trained_ensemble("lenet", "vgg", channels=1, image_size=8)
    print("exporting", flush=True)
    export(ensemble, directory, random_images(40, ensemble), formats=formats.split(","))


def _start(directory: Path, formats: str, **environment: str) -> Forked:
    """A process that is about to replace the export in ``directory`` by one of two members."""
    log = directory.parent.parent / "said" / directory.parent.name
    log.unlink(missing_ok=True)
    process = Forked(_export, directory, formats, log=log, environment=environment)
    until(lambda: process.poll() is not None or "exporting" in process.said, "it to begin", lambda: "")
    return process


def _num_members(directory: Path) -> int:
    """Of the export in ``directory``, which is whole."""
    verify(directory, required="parity.json")
    return len(load_bundle(directory).members)


@pytest.mark.slow
@pytest.mark.parametrize(("side", "members"), [("before", 1), ("after", 2)])
def test_killed_at_its_rename_it_is_the_old_or_the_new(copied: Path, side: str, members: int) -> None:
    process = _start(copied, "bundle", **{VARIABLE: f"{side}-export"})
    assert process.wait() == EXIT_CODE
    assert _num_members(copied) == members


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(repetitions(1200, 12 * 3600))
def test_killed_at_any_moment_it_leaves_a_whole_one_and_no_process(copied: Path) -> None:
    began = time.monotonic()
    first = _start(copied, "bundle,onnx")
    assert first.wait() == 0 and _num_members(copied) == 2
    span_s = time.monotonic() - began
    moments = random.Random(0)
    for _ in range(KILLS):
        process = _start(copied, "bundle,onnx")
        time.sleep(moments.uniform(0, span_s))
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        assert _num_members(copied) == 2
        psutil.wait_procs(children, timeout=60)
        assert not [child for child in children if child.is_running()]
    assert _start(copied, "bundle,onnx").wait() == 0
    assert list(copied.parent.iterdir()) == [copied]  # what the killed ones left is swept up
    verify_export(copied)


# what is foreign


class Foreign:
    """Runs code where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (str(self.trace), "w")


def _pickled(path: Path, trace: Path) -> None:
    path.write_bytes(pickle.dumps(Foreign(trace)))


def _saved_by_torch(path: Path, trace: Path) -> None:
    torch.save({"weights": Foreign(trace)}, path)


@pytest.mark.parametrize("put", [_pickled, _saved_by_torch])
@pytest.mark.parametrize(
    ("pattern", "read", "said"),
    [
        ("config.json", load_bundle, "config.json does not describe an ensemble"),
        ("member-*.safetensors", load_bundle, "holds no weights as safetensors"),
        ("model.onnx", load_model, "model.onnx is no exported ensemble"),
        ("parity.json", verify_export, "parity.json is damaged"),
    ],
)
def test_a_foreign_pickle_is_refused_and_not_run(
    copied: Path,
    tmp_path: Path,
    pattern: str,
    read: Callable[[Path], object],
    said: str,
    put: Callable[[Path, Path], None],
) -> None:
    """With fitting hashes: whoever put it there made them anew."""
    (path,) = copied.glob(pattern)
    put(path, tmp_path / "ran")
    with pytest.raises(ExportError, match="is damaged or was changed"):
        read(copied)
    (copied / "SHA256SUMS").unlink()
    write_checksums(copied)
    with pytest.raises(ExportError, match=said):
        read(copied)
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("put", [_pickled, _saved_by_torch])
def test_nor_is_one_in_place_of_a_program(
    copied: Path, tmp_path: Path, put: Callable[[Path, Path], None]
) -> None:
    put(copied / "model.pt2", tmp_path / "ran")
    (copied / "SHA256SUMS").unlink()
    write_checksums(copied)
    with pytest.raises(
        ConvscoutError, match=r"pt2 in .* does not answer as bundle does: it cannot be read back"
    ):
        verify_export(copied)
    assert not (tmp_path / "ran").exists()


def test_one_beside_an_export_is_never_read_and_never_replaced(
    copied: Path, tmp_path: Path, older: TrainedEnsemble
) -> None:
    _pickled(copied / "model.pkl", tmp_path / "ran")
    images = random_images(3, older)
    expected = older.build_module().answer(images)
    np.testing.assert_array_equal(load_bundle(copied).build_module().answer(images), expected)
    with pytest.raises(ExportError, match=r"holds 'model\.pkl', which is not part of the export"):
        export(older, copied, random_images(4, older), formats=["bundle"])
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("share", [0, 0.5, 0.999])
@pytest.mark.parametrize("name", ["config.json", "model.onnx", "model.pt2", "labels.json", "parity.json"])
def test_a_truncated_file_is_refused(copied: Path, name: str, share: float) -> None:
    content = (copied / name).read_bytes()
    (copied / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(ExportError, match=f"{name} is damaged or was changed"):
        verify_export(copied)
