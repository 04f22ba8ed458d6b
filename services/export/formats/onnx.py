"""ONNX: the whole ensemble in one file, from bytes to probabilities."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch
from torch.onnx.errors import OnnxExporterError

from convscout.search_space.errors import ConvscoutError
from convscout.services.ensembles.trained import TrainedEnsemble
from convscout.services.export.onnx_model import INPUT, MODEL_FILE, OUTPUT
from convscout.services.export.writer import Exporter
from convscout.services.plugins import exporters

_NOISY = ("torch.onnx", "onnxscript", "onnx_ir")


@exporters.register("onnx")
class OnnxExporter(Exporter):
    """``model.onnx``: takes ``images`` (N, H, W, C) uint8, any N, H and W, and gives ``probabilities`` (N, K) float32.

    It sees the square in the middle of each. Its metadata holds the class names and the size that the networks were
    trained at, so the file is usable by itself.
    """

    reader = "convscout.services.export.onnx_model:read_onnx"

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        model = _convert(ensemble)
        _strip(model.graph)
        onnx.helper.set_model_props(model, _metadata(ensemble))
        onnx.checker.check_model(model, full_check=True)
        (directory / MODEL_FILE).write_bytes(model.SerializeToString())


def _convert(ensemble: TrainedEnsemble) -> onnx.ModelProto:
    with _quiet(), _explain_errors():
        program = torch.onnx.export(
            ensemble.build_module(),
            (ensemble.example,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=ensemble.dynamic_shapes,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@contextmanager
def _explain_errors() -> Iterator[None]:
    try:
        yield
    except OnnxExporterError as error:
        cause = str(error.__cause__ or error).strip().splitlines()[0]
        raise ConvscoutError(
            f"the ensemble cannot be converted to ONNX: {cause}; export the bundle alone"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the exporter's progress and its warnings about its own parts; what it cannot export still raises."""
    loggers = [logging.getLogger(name) for name in _NOISY]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _strip(graph: onnx.GraphProto) -> None:
    """Remove debugging notes: the stack trace of every node, with the paths of this machine."""
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def _metadata(ensemble: TrainedEnsemble) -> dict[str, str]:
    return {
        "study": ensemble.study,
        "data": ensemble.data,
        "fingerprint": ensemble.fingerprint,
        "class_names": json.dumps(ensemble.class_names),
        "image_size": str(ensemble.image.image_size),
        "in_channels": str(ensemble.image.in_channels),
        "white": str(ensemble.white),
    }
