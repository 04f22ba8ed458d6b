"""Stand-alone use: a script that needs only onnxruntime, numpy and pillow, and a model card."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from services.ensembles.trained import TrainedEnsemble
from services.exporting import Exporter, exporters
from services.model_card import model_card

SCRIPT_FILE, CARD_FILE = "predict.py", "README.md"


@exporters.register("standalone")
class StandaloneExporter(Exporter):
    """``predict.py``, which classifies image files with ``model.onnx``, and ``README.md``."""

    needs = ("onnx",)

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        script = files("services.templates") / SCRIPT_FILE
        (directory / SCRIPT_FILE).write_bytes(script.read_bytes())
        (directory / CARD_FILE).write_text(model_card(ensemble), encoding="utf-8")
