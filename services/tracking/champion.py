"""The champion: exported ensembles as versions of a registered MLflow model, and which of them is to be used."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from mlflow.entities import LoggedModelOutput
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.tracking.client import MlflowClient

from services.tracking.described_model import model_description
from services.tracking.pyfunc import save_pyfunc
from services.tracking.source import Source
from services.tracking.store import TrackingStore
from services.tracking.study_runs import StudyRuns

CHAMPION, CHALLENGER = "champion", "challenger"  # aliases
_DIGEST_TAG = "convscout.model_sha256"
_ACCURACY_TAG = "convscout.validation_accuracy"


def register_champion(
    source: Source, store: TrackingStore, export: Path, example: npt.NDArray[np.uint8], accuracy: float
) -> str:
    """Register the export under the study's name; returns ``models:/NAME@champion``.

    The alias ``champion`` is the version of the highest ``accuracy`` on the validation images, of equal ones the
    newest; ``challenger`` is the newest version while it is not that, and nobody otherwise. ``export`` and
    ``example`` are as ``save_pyfunc`` wants them. A version is described by the card in its export, the model by the
    champion's. An export that is registered already is not registered again. Raises ``MlflowException`` when the
    store fails.
    """
    client = store.client()
    digest = hashlib.sha256((export / "model.onnx").read_bytes()).hexdigest()
    if _version_with(client, source.name, digest) is None:
        tags = {_DIGEST_TAG: digest, _ACCURACY_TAG: repr(accuracy)}
        _register(client, source, store, export, example, tags)
    _appoint(client, source.name)
    return f"models:/{source.name}@{CHAMPION}"


def _appoint(client: MlflowClient, name: str) -> None:
    """Give each alias to the version that it is due."""
    versions = sorted(client.search_model_versions(f"name = '{name}'"), key=lambda each: int(each.version))
    newest = versions[-1]
    best = max(versions, key=lambda each: (float(each.tags.get(_ACCURACY_TAG, 0)), int(each.version)))
    client.set_registered_model_alias(name, CHAMPION, best.version)
    client.update_registered_model(name, best.description)
    if newest.version != best.version:
        client.set_registered_model_alias(name, CHALLENGER, newest.version)
    elif CHALLENGER in client.get_registered_model(name).aliases:
        client.delete_registered_model_alias(name, CHALLENGER)


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
    tags: dict[str, str],
) -> None:
    run_id = StudyRuns(source, store, None).study_run_id
    model = client.create_logged_model(
        store.experiment_id(client, source.name),
        name=source.name,
        source_run_id=run_id,
        model_type="classifier",
    )
    with tempfile.TemporaryDirectory() as directory:
        card = Model(artifact_path=model.artifact_location, run_id=run_id, model_id=model.model_id)
        save_pyfunc(Path(directory) / "model", export, example, card)
        client.log_model_artifacts(model.model_id, str(Path(directory) / "model"))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    client.create_model_version(
        source.name,
        # not models:/ID, which a database store would look up in whatever store this process calls its own
        source=model.artifact_location,
        run_id=run_id,
        model_id=model.model_id,
        tags=tags,
        description=model_description(source.name, export),
    )
