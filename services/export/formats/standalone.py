"""Stand-alone use: a script that needs only onnxruntime, numpy and pillow, and a model card."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from convscout.services.ensembles.trained import TrainedEnsemble
from convscout.services.export.model_card import CARD_FILE, model_card
from convscout.services.export.writer import Exporter
from convscout.services.plugins import exporters

SCRIPT_FILE = "predict.py"


@exporters.register("standalone")
class StandaloneExporter(Exporter):
    """``predict.py``, which classifies image files with ``model.onnx``, and ``README.md``."""

    needs = ("onnx",)

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        script = files("convscout.services.export.templates") / SCRIPT_FILE
        (directory / SCRIPT_FILE).write_bytes(script.read_bytes())
        (directory / CARD_FILE).write_text(model_card(ensemble), encoding="utf-8")
