"""What a study's run in MLflow has beside the ledger's values, and keeps when the run is made anew."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mlflow.entities import LoggedModelOutput, Run
from mlflow.tracking.client import MlflowClient

EXPLANATIONS = "explanations"  # the folder of pictures that `convscout explain` adds


def keep_additions(client: MlflowClient, before: Run, run_id: str) -> None:
    """Let the run ``run_id`` have the models and explanations of the run ``before``, whose place it takes."""
    models = before.outputs.model_outputs if before.outputs else []
    if models:
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=model.step) for model in models])
    if client.list_artifacts(before.info.run_id, EXPLANATIONS):
        with tempfile.TemporaryDirectory() as directory:
            client.download_artifacts(before.info.run_id, EXPLANATIONS, directory)
            client.log_artifacts(run_id, str(Path(directory) / EXPLANATIONS), EXPLANATIONS)
