"""The champion: the exported ensemble as a registered MLflow model."""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
from mlflow.entities import LoggedModelOutput
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.tracking.client import MlflowClient
from mlflow.types import ColSpec, Schema, TensorSpec

from services.tracking.source import Source
from services.tracking.store import TrackingStore
from services.tracking.study_runs import StudyRuns

ALIAS = "champion"
_CODE = Path(__file__).with_name("champion_model.py")
_DIGEST_TAG = "convscout.model_sha256"
_REQUIREMENTS = ("mlflow", "numpy", "onnxruntime", "pandas")


def register_champion(
    source: Source, store: TrackingStore, export: Path, example: npt.NDArray[np.uint8]
) -> str:
    """Register the export under the study's name with the alias ``champion``; returns ``models:/NAME@champion``.

    ``export`` is a directory with ``model.onnx`` (images (N, H, W, C) uint8 → probabilities (N, K) float32)
    and ``labels.json`` (the K class names); ``example`` is a batch of images (N, H, W, C). An export that
    is registered already is not registered again. Raises ``MlflowException`` when the store fails.
    """
    client = store.client()
    digest = hashlib.sha256((export / "model.onnx").read_bytes()).hexdigest()
    known = _version_with(client, source.name, digest)
    if known is None:
        known = _register(client, source, store, export, example, digest)
    client.set_registered_model_alias(source.name, ALIAS, known.version)
    return f"models:/{source.name}@{ALIAS}"


def _version_with(client: MlflowClient, name: str, digest: str) -> ModelVersion | None:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    versions = client.search_model_versions(f"name = '{name}'")
    return next((found for found in versions if found.tags.get(_DIGEST_TAG) == digest), None)


def _register(
    client: MlflowClient,
    source: Source,
    store: TrackingStore,
    export: Path,
    example: npt.NDArray[np.uint8],
    digest: str,
) -> ModelVersion:
    run_id = StudyRuns(source, store, None).study_run_id
    model = client.create_logged_model(
        store.experiment_id(client), name=source.name, source_run_id=run_id, model_type="classifier"
    )
    with tempfile.TemporaryDirectory() as directory:
        card = Model(artifact_path=model.artifact_location, run_id=run_id, model_id=model.model_id)
        _save(card, Path(directory) / "model", export, example)
        client.log_model_artifacts(model.model_id, str(Path(directory) / "model"))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return client.create_model_version(
        source.name,
        # not models:/ID, which a database store would look up in whatever store this process calls its own
        source=model.artifact_location,
        run_id=run_id,
        model_id=model.model_id,
        tags={_DIGEST_TAG: digest},
    )


def _save(card: Model, path: Path, export: Path, example: npt.NDArray[np.uint8]) -> None:
    with warnings.catch_warnings():
        # MLflow warns of its own type hints when this part of it is first imported
        warnings.filterwarnings("ignore", ".*Any type hint is inferred as AnyType")
        from mlflow.pyfunc import save_model
    class_names = json.loads((export / "labels.json").read_text())
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, *example.shape[1:]))]),
        outputs=Schema([ColSpec("float", name) for name in class_names]),
    )
    save_model(
        path=str(path),
        mlflow_model=card,
        python_model=str(_CODE),
        artifacts={"export": str(export)},
        signature=signature,
        input_example=example[:1],
        pip_requirements=[f"{name}=={version(name)}" for name in _REQUIREMENTS],
    )
