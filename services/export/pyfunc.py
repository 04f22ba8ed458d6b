"""The exported ensemble as an MLflow model "from code": a directory that MLflow loads and serves by itself."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
from mlflow.models import Model, ModelSignature
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.types import ColSpec, Schema, TensorSpec

from convscout.search_space.errors import ExportError
from convscout.services.export.model_card import CARD_FILE
from convscout.services.export.reload import Predictor
from convscout.trials.data.mapped_images import Pixels
from convscout.trials.evaluation.metrics import Probabilities

with warnings.catch_warnings():  # MLflow warns of its own type hints when this part of it is first imported
    warnings.filterwarnings("ignore", ".*Any type hint is inferred as AnyType")
    from mlflow.pyfunc import load_model, save_model

FOLDER = "mlflow"  # in an export
_CODE = Path(__file__).with_name("champion_model.py")
_REQUIREMENTS = ("mlflow", "numpy", "onnxruntime", "pandas")


def save_pyfunc(path: Path, export: Path, example: npt.NDArray[np.uint8], model: Model | None = None) -> None:
    """Write the MLflow model of the ``export`` to ``path``, which must not exist; ``model`` says what it belongs to.

    ``export`` is a directory with ``model.onnx`` (images (N, H, W, C) uint8 → probabilities (N, K) float32)
    and ``labels.json`` (the K class names), and perhaps a card; ``example`` is a batch of images (N, H, W, C), of
    which one is kept. Images may be of any N, H and W.
    """
    logging.getLogger("mlflow").setLevel(logging.ERROR)  # it tells of each step that it takes
    class_names = json.loads((export / "labels.json").read_text(encoding="utf-8"))
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, -1, example.shape[-1]))]),
        outputs=Schema([ColSpec("float", name) for name in class_names]),
    )
    save_model(
        path=str(path),
        mlflow_model=model,
        python_model=str(_CODE),
        artifacts={"network": str(export / "model.onnx"), "labels": str(export / "labels.json")},
        signature=signature,
        input_example=example[:1],
        pip_requirements=[f"{name}=={version(name)}" for name in _REQUIREMENTS],
    )
    _forget_sources(path / MLMODEL_FILE_NAME)
    if (export / CARD_FILE).exists():
        shutil.copyfile(export / CARD_FILE, path / CARD_FILE)


def _forget_sources(path: Path) -> None:
    """Let the ``MLmodel`` at ``path`` not say where on this machine the files lay that MLflow has copied."""
    model = Model.load(path)
    for artifact in model.flavors["python_function"]["artifacts"].values():
        artifact["uri"] = artifact["path"]
    model.save(str(path))


def read_pyfunc(directory: Path) -> Predictor:
    """The one in the export in ``directory``, by MLflow. Raises ``ExportError`` when its code is not what we wrote."""
    path = directory / FOLDER
    if (path / _CODE.name).read_bytes() != _CODE.read_bytes() or list(path.rglob("*.pkl")):
        raise ExportError(f"{path} holds code that this version of convscout did not write; it is not run")
    model = load_model(str(path))

    def answer(images: Pixels) -> Probabilities:
        found: Probabilities = np.asarray(model.predict(images), np.float32)
        return found

    return answer
