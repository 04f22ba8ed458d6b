"""The MLflow folder is loaded and served by MLflow alone, and its code is run only where it is ours."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from convscout.search_space.errors import ConvscoutError, ExportError
from convscout.services.ensembles.trained import TrainedEnsemble
from convscout.services.export.checksums import write_checksums
from convscout.services.export.onnx_model import ExportedModel
from convscout.services.export.pyfunc import read_pyfunc
from convscout.services.export.verify import verify_export
from convscout.services.export.writer import export
from tests.support.mlflow_serving import asked, served
from tests.support.trained_ensembles import random_images, trained_ensemble


@pytest.fixture(scope="module")
def ensemble() -> TrainedEnsemble:
    return trained_ensemble("lenet", image_size=8)


@pytest.fixture(scope="module")
def exported(ensemble: TrainedEnsemble, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("mlflow") / "export"
    formats = ["bundle", "onnx", "standalone", "mlflow"]
    found = export(ensemble, directory, random_images(40, ensemble), formats=formats)
    assert found.parities["mlflow"].passed and not found.left_out
    return directory


def test_it_is_whole_and_holds_no_pickle(exported: Path) -> None:
    folder = exported / "mlflow"
    assert (folder / "README.md").read_text() == (exported / "README.md").read_text()
    told = yaml.safe_load((folder / "MLmodel").read_text())
    assert "tensor-spec" not in told and '"shape": [-1, -1, -1, 3]' in told["signature"]["inputs"]
    assert told["saved_input_example_info"]
    assert "onnxruntime==" in (folder / "requirements.txt").read_text()
    assert not list(folder.rglob("*.pkl"))


@pytest.mark.slow
def test_code_that_is_not_ours_is_not_run(exported: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(exported, tmp_path / "copied"))
    ran = tmp_path / "ran"
    (copied / "mlflow" / "champion_model.py").write_text(f"open({str(ran)!r}, 'w')")
    with pytest.raises(ExportError, match="code that this version of convscout did not write; it is not run"):
        read_pyfunc(copied)
    (copied / "SHA256SUMS").unlink()
    write_checksums(copied)
    with pytest.raises(ConvscoutError, match="code that this version of convscout did not write"):
        verify_export(copied)
    assert not ran.exists()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_is_served(exported: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (2, 9, 14, 3), dtype=np.uint8)
    expected = ExportedModel(exported / "model.onnx").probabilities(images)
    with served(str(exported / "mlflow"), f"sqlite:///{tmp_path / 'none.db'}", tmp_path) as address:
        answers = asked(address, images)
    np.testing.assert_allclose([list(row.values()) for row in answers], expected, atol=1e-5)
