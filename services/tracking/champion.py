"""The champion: exported ensembles as versions of a registered MLflow model, and which of them is to be used."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from mlflow.entities import LoggedModelOutput, Metric
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.tracking.client import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from convscout.services.config.names import make_name
from convscout.services.export.pyfunc import save_pyfunc
from convscout.services.tracking.described_model import model_description
from convscout.services.tracking.mirrored_run import read_shown
from convscout.services.tracking.projection import study_content
from convscout.services.tracking.run_content import is_same
from convscout.services.tracking.runs import StudyRuns
from convscout.services.tracking.source import OutcomeMetrics, TrackedStudy
from convscout.services.tracking.store import TrackingStore

CHAMPION, CHALLENGER = "champion", "challenger"  # aliases
_DIGEST_TAG = "convscout.model_sha256"
_ACCURACY_TAG = "convscout.validation_accuracy"
_MODEL_TAG = "convscout.model_id"  # MLflow's databases drop the `model_id` that a version is created with


def register_champion(
    source: TrackedStudy, store: TrackingStore, export: Path, example: npt.NDArray[np.uint8], accuracy: float
) -> str:
    """Register the export under the name of the study's experiment; returns ``models:/NAME@champion``.

    The alias ``champion`` is the version of the highest ``accuracy`` on the validation images, of equal ones the
    newest; ``challenger`` is the newest version while it is not that, and nobody otherwise. ``export`` and
    ``example`` are as ``save_pyfunc`` wants them. A version is described by the card in its export, the model by the
    champion's. An export that is registered already is not registered again. The version and MLflow's logged model name
    each other, and the logged model has the study's settings as params and its outcome as metrics, by which
    ``search_logged_models`` ranks. Raises ``MlflowException`` when the store fails.
    """
    client, runs = store.client(), StudyRuns(source, store, None)
    digest = hashlib.sha256((export / "model.onnx").read_bytes()).hexdigest()
    version = _version_with(client, runs.name, digest)
    if version is None:
        tags = {_DIGEST_TAG: digest, _ACCURACY_TAG: repr(accuracy)}
        version = _register(client, source, runs, export, example, tags)
    if _MODEL_TAG in version.tags:
        _measure(client, source, runs.study_run_id, version.tags[_MODEL_TAG])
    _appoint(client, runs.name)
    return f"models:/{runs.name}@{CHAMPION}"


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
    source: TrackedStudy,
    runs: StudyRuns,
    export: Path,
    example: npt.NDArray[np.uint8],
    tags: dict[str, str],
) -> ModelVersion:
    run_id = runs.study_run_id
    model = client.create_logged_model(
        runs.experiment_id,
        name=make_name(runs.name, "study"),  # earlier versions allowed dots, which MLflow does not here
        source_run_id=run_id,
        params=dict(study_content(source, {}).settings),
        model_type="classifier",
    )
    with tempfile.TemporaryDirectory() as directory:
        card = Model(artifact_path=model.artifact_location, run_id=run_id, model_id=model.model_id)
        save_pyfunc(Path(directory) / "model", export, example, card)
        client.log_model_artifacts(model.model_id, str(Path(directory) / "model"))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    version = client.create_model_version(
        runs.name,
        # not models:/ID, which a database store would look up in whatever store this process calls its own
        source=model.artifact_location,
        run_id=run_id,
        model_id=model.model_id,
        tags={**tags, _MODEL_TAG: model.model_id},
        description=model_description(source.name, export),
    )
    named = json.dumps(
        [{"name": version.name, "version": version.version}]
    )  # as MLflow's `register_model` does
    client.set_logged_model_tags(model.model_id, {MLFLOW_MODEL_VERSIONS: named})
    return version


def _measure(client: MlflowClient, source: TrackedStudy, run_id: str, model_id: str) -> None:
    """Let the logged model have the study's outcome. What is no number is left out: MLflow would make it 0."""
    outcome, shown = OutcomeMetrics.of(source), read_shown(client.get_run(run_id))
    metrics = [
        # exactly as the run has it, which then is not logged again
        Metric(key, shown[key].value, shown[key].timestamp, shown[key].step, model_id=model_id)
        for key, value in (outcome.values if outcome else {}).items()
        if math.isfinite(value) and key in shown and is_same(shown[key].value, value)
    ]
    client.log_batch(run_id, metrics=metrics)
