"""The ensemble as an MLflow model "from code".

MLflow runs this file by itself wherever the model is loaded, so it imports nothing of convscout, and no
object is pickled.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class Ensemble(PythonModel):
    """Takes images (N, H, W, C) uint8 of any size; answers one column of probabilities a class, a row an image."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open the exported network."""
        self._class_names = json.loads(Path(context.artifacts["labels"]).read_text(encoding="utf-8"))
        self._session = onnxruntime.InferenceSession(
            context.artifacts["network"], providers=["CPUExecutionProvider"]
        )

    def predict(
        self, context: PythonModelContext, model_input: np.ndarray, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Class probabilities of every image."""
        (probabilities,) = self._session.run(["probabilities"], {"images": model_input})
        return pd.DataFrame(probabilities, columns=self._class_names)


set_model(Ensemble())
