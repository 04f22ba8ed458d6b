"""The quantised model is a quarter of the size, answers nearly alike, and what it costs is on record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from convscout.search_space.errors import ConfigError
from convscout.services.ensembles.trained import TrainedEnsemble
from convscout.services.export.formats.int8 import Int8Exporter
from convscout.services.export.onnx_model import INT8_FILE, MODEL_FILE, ExportedModel
from convscout.services.export.verify import verify_export
from convscout.services.export.writer import export
from convscout.trials.evaluation.metrics import accuracy
from tests.support.trained_ensembles import random_images, trained_ensemble


@pytest.fixture(scope="module")
def ensemble() -> TrainedEnsemble:
    return trained_ensemble("lenet", "vgg")


@pytest.fixture(scope="module")
def exported(ensemble: TrainedEnsemble, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("exported") / "export"
    images = random_images(300, ensemble)
    labels = np.arange(300) % 4
    found = export(ensemble, directory, images, labels=labels, formats=["onnx", "int8"])
    assert not found.left_out
    return directory


def test_what_it_costs_is_on_record(exported: Path, ensemble: TrainedEnsemble) -> None:
    told = json.loads((exported / "parity.json").read_text())["int8"]
    assert told["tolerance"] == Int8Exporter.tolerance and told["max_difference"] <= told["tolerance"]
    sizes = [(exported / name).stat().st_size for name in (INT8_FILE, MODEL_FILE)]
    assert told["size_ratio"] == pytest.approx(sizes[0] / sizes[1]) and told["size_ratio"] < 0.5
    assert told["latency_ratio"] > 0
    images, labels = random_images(300, ensemble), np.arange(300) % 4
    for field, name in (("accuracy", INT8_FILE), ("float32_accuracy", MODEL_FILE)):
        said = ExportedModel(exported / name).probabilities(images)
        assert told[field] == accuracy(said, labels)
    assert told["num_judged"] == 300


def test_its_layers_are_integers_and_its_resizing_is_exact(exported: Path) -> None:
    graph = onnx.load(exported / INT8_FILE).graph
    kinds = {tensor.data_type for tensor in graph.initializer if len(tensor.dims) == 4}
    assert kinds == {onnx.TensorProto.INT8, onnx.TensorProto.FLOAT}  # normalisation is (1, C, 1, 1)
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    weights = {tensor.name for tensor in graph.initializer}
    resizing = [node for node in graph.node if node.op_type == "MatMul" and not weights & set(node.input)]
    assert len(resizing) == 2
    assert all(made_by[name] != "DequantizeLinear" for node in resizing for name in node.input)
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert convolutions
    assert all(made_by[name] == "DequantizeLinear" for node in convolutions for name in node.input)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_is_verified_by_what_it_allows_itself(exported: Path) -> None:
    found = verify_export(exported)
    assert found["onnx"].tolerance == 1e-4 and found["int8"].tolerance == Int8Exporter.tolerance
    assert found["int8"].max_difference > 1e-4


def test_it_needs_the_exact_one(ensemble: TrainedEnsemble, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="int8 needs onnx to be exported too"):
        export(ensemble, tmp_path / "export", random_images(4, ensemble), formats=["int8"])
