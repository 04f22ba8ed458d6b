"""MLflow: the ensemble as an MLflow model "from code", for ``mlflow models serve`` and whatever else loads those."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from convscout.services.ensembles.trained import TrainedEnsemble
from convscout.services.export.writer import Exporter
from convscout.services.plugins import exporters


@exporters.register("mlflow")
class MlflowExporter(Exporter):
    """``mlflow/``: signature, example, card, requirements and code; no pickle, and nothing of convscout is needed.

    ``mlflow.pyfunc.load_model`` reads it.
    """

    needs = ("bundle", "onnx", "standalone")
    default: ClassVar[bool] = False  # a study's ensemble is registered in MLflow anyway
    reader = "convscout.services.export.pyfunc:read_pyfunc"

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        from convscout.services.export.pyfunc import FOLDER, save_pyfunc  # MLflow takes seconds to import

        save_pyfunc(directory / FOLDER, directory, self.examples.images[:1])
