"""INT8: the ONNX model with its weights and activations as 8-bit integers, smaller and on many machines faster."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from convscout.search_space.errors import ExportError
from convscout.services.ensembles.trained import TrainedEnsemble
from convscout.services.export.onnx_model import INPUT, INT8_FILE, MODEL_FILE, ExportedModel
from convscout.services.export.reload import ask
from convscout.services.export.writer import Exporter
from convscout.services.plugins import exporters
from convscout.trials.data.mapped_images import Pixels
from convscout.trials.evaluation.metrics import accuracy

_NUM_CALIBRATION = 512  # images that tell the range of each activation
_NUM_JUDGED = 2048  # images at most that the loss of accuracy is measured on
_BATCH, _TURNS = 32, 7


@exporters.register("int8")
class Int8Exporter(Exporter):
    """``model.int8.onnx``: as ``model.onnx``, with its convolutions and linear layers in 8-bit integers.

    Static quantisation (Jacob et al., 2018, "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", section 2): weights symmetric and a channel at a time, the ranges of activations
    as validation images have them. ``parity.json`` tells what that costs in accuracy, and its size and the time that it
    takes as shares of those of ``model.onnx``.
    """

    needs = ("onnx",)
    default: ClassVar[bool] = False  # it answers a little differently
    reader = "convscout.services.export.onnx_model:read_int8"
    tolerance: ClassVar[float] = 0.25

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        try:
            with TemporaryDirectory() as scratch, _quiet():
                prepared = Path(scratch) / MODEL_FILE
                quant_pre_process(directory / MODEL_FILE, prepared)
                quantize_static(
                    prepared,
                    directory / INT8_FILE,
                    _Calibration(self.examples.images[:_NUM_CALIBRATION]),
                    quant_format=QuantFormat.QDQ,
                    op_types_to_quantize=["Conv", "Gemm", "MatMul"],
                    nodes_to_exclude=_without_weights(onnx.load(prepared).graph),
                    per_channel=True,
                    weight_type=QuantType.QInt8,
                    activation_type=QuantType.QUInt8,
                )
        except Exception as error:  # onnxruntime's tools fail in many ways, of which none is a person's fault
            cause = str(error).strip().splitlines()[:1] or [type(error).__name__]
            raise ExportError(
                f"the ensemble cannot be quantised: {cause[0]}; export it without int8"
            ) from error

    def figures(self, directory: Path) -> Mapping[str, float]:
        exact, quantised = (ExportedModel(directory / name) for name in (MODEL_FILE, INT8_FILE))
        sizes = [(directory / name).stat().st_size for name in (INT8_FILE, MODEL_FILE)]
        batch = self.examples.images[:_BATCH]
        figures = {
            "size_ratio": sizes[0] / sizes[1],
            "latency_ratio": _latency_ratio(quantised, exact, batch),
        }
        if self.examples.labels is None:
            return figures
        labels, images = self.examples.labels[:_NUM_JUDGED], self.examples.images[:_NUM_JUDGED]
        batches = np.split(images, range(_BATCH, len(images), _BATCH))
        for name, model in (("accuracy", quantised), ("float32_accuracy", exact)):
            figures[name] = accuracy(ask(model.probabilities, batches), labels)
        return {**figures, "num_judged": len(labels)}


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    """Hands ``images`` (N, H, W, C) over in batches."""

    def __init__(self, images: Pixels) -> None:
        self._batches = iter(np.split(images, range(_BATCH, len(images), _BATCH)))

    def get_next(self) -> dict[str, Pixels] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def _without_weights(graph: onnx.GraphProto) -> list[str]:
    """Nodes that multiply what they are given, as resizing does: an error there is one in every pixel."""
    weights = {each.name for each in graph.initializer}
    return [node.name for node in graph.node if node.op_type == "MatMul" and not weights & set(node.input)]


def _latency_ratio(one: ExportedModel, other: ExportedModel, batch: Pixels) -> float:
    """How long ``one`` takes for ``batch``, as a share of what ``other`` takes: medians of turns taken in turn."""
    taken: dict[ExportedModel, list[float]] = {one: [], other: []}
    for _ in range(_TURNS):
        for model, times in taken.items():
            began = time.perf_counter()
            model.probabilities(batch)
            times.append(time.perf_counter() - began)
    return statistics.median(taken[one]) / statistics.median(taken[other])


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide advice of onnxruntime's tools to take steps that were taken."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
