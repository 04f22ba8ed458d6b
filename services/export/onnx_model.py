"""ExportedModel: ``model.onnx`` in onnxruntime, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from convscout.search_space.errors import ExportError
from convscout.trials.data.mapped_images import Pixels
from convscout.trials.data.white import FULL

if TYPE_CHECKING:
    from convscout.services.export.reload import Predictor
    from convscout.trials.evaluation.metrics import Probabilities  # which imports torch

MODEL_FILE, INT8_FILE = "model.onnx", "model.int8.onnx"
INPUT, OUTPUT = "images", "probabilities"
LARGEST_IMAGE = 4096  # pixels a side that an export may want
_ERROR = 3  # onnxruntime's severity


class ExportedModel:
    """An exported ensemble with its class names and the images it wants: square, ``image_size`` pixels a side.

    ``white`` is the level that was white in the images that it learnt from (see ``trials/data/white.py``).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERROR
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            metadata = self._session.get_modelmeta().custom_metadata_map
            self.class_names: tuple[str, ...] = tuple(json.loads(metadata["class_names"]))
            self.fingerprint: str = metadata["fingerprint"]  # of the data that it was made from
            self.image_size = int(metadata["image_size"])
            self.in_channels = int(metadata["in_channels"])
            self.white = int(metadata.get("white", FULL))  # earlier exports do not tell it, and had no other
            self._check()
        except Exception as error:  # onnxruntime has a kind of its own for each way that a file can be wrong
            cause = " ".join(str(error).split())
            raise ExportError(f"{path} is no exported ensemble ({cause}); export it again") from error

    def _check(self) -> None:
        """Raise ``ValueError`` for what pictures could not be brought to, or answers not be told by."""
        if self.in_channels not in (1, 3) or not 1 <= self.image_size <= LARGEST_IMAGE:
            raise ValueError(
                f"images cannot have {self.in_channels} channels and {self.image_size} pixels a side"
            )
        if not 1 <= self.white <= FULL:
            raise ValueError(f"white cannot be level {self.white}, but must be in [1, {FULL}]")
        if not self.class_names or not all(isinstance(name, str) for name in self.class_names):
            raise ValueError("class_names must be texts")

    def probabilities(self, images: Pixels) -> Probabilities:
        """(N, H, W, C) uint8 images → (N, K) float32 probabilities; N may be 0.

        Raises ``ExportError`` where the file answers anything else, as one that somebody changed may.
        """
        wanted = (len(images), len(self.class_names))
        if not len(images):  # which files of earlier versions do not answer
            return np.empty(wanted, dtype=np.float32)
        try:
            (answer,) = self._session.run([OUTPUT], {INPUT: images})
        except Exception as error:  # of onnxruntime's own kinds
            raise self._useless(" ".join(str(error).split())) from error
        if not (isinstance(answer, np.ndarray) and answer.dtype == np.float32 and answer.shape == wanted):
            raise self._useless(
                f"to images {images.shape} it answers {getattr(answer, 'dtype', type(answer).__name__)} "
                f"{np.shape(answer)} instead of float32 {wanted}"
            )
        if not np.isfinite(answer).all():
            raise self._useless("its answers are not finite")
        probabilities: Probabilities = answer
        return probabilities

    def _useless(self, cause: str) -> ExportError:
        return ExportError(f"{self._path} does not classify images ({cause}); export it again")


def read_onnx(directory: Path) -> Predictor:
    """The one in ``directory``."""
    return ExportedModel(directory / MODEL_FILE).probabilities


def read_int8(directory: Path) -> Predictor:
    """The quantised one in ``directory``."""
    return ExportedModel(directory / INT8_FILE).probabilities
