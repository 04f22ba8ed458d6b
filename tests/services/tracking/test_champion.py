"""The exported ensemble as MLflow's champion: registered once, loaded without pickle, predicting."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from convscout.services.config.home_identity import HomeIdentity
from convscout.services.export.onnx_model import ExportedModel
from convscout.services.export.writer import export as export_ensemble
from convscout.services.tracking.audit import differences
from convscout.services.tracking.champion import register_champion
from convscout.services.tracking.projector import sync
from convscout.services.tracking.run_links import model_link
from convscout.services.tracking.runs import StudyRuns
from convscout.services.tracking.source import METRICS_NOTE, OutcomeMetrics
from convscout.services.tracking.store import TrackingStore
from tests.support.mlflow_serving import asked, served
from tests.support.recorded_study import RecordedStudy, recorded_study
from tests.support.trained_ensembles import random_images, trained_ensemble

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
LOAD = """
import sys, mlflow, numpy
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
answer = model.predict(numpy.load(sys.argv[3]))
print(answer.idxmax(axis="columns").to_json(orient="values"))
"""


@pytest.fixture
def study(tmp_path: Path) -> RecordedStudy:
    return recorded_study(tmp_path / "home")


@pytest.fixture
def store(study: RecordedStudy) -> TrackingStore:
    return TrackingStore(uri=study.home.tracking_uri, artifacts=study.home.artifacts)


def write_export(directory: Path, version: int = 1) -> Path:
    """A network whose class probabilities are the softmax of the mean red, green and blue."""
    directory.mkdir(exist_ok=True)
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 8, 8, 3])
    probabilities = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 3])
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
        helper.make_node("Softmax", ["means"], ["probabilities"], axis=1),
    ]
    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2])
    graph = helper.make_graph(nodes, "ensemble", [images], [probabilities], [axes])
    opset = helper.make_opsetid("", 18)
    onnx.save(
        helper.make_model(graph, opset_imports=[opset], ir_version=10, model_version=version),
        directory / "model.onnx",
    )
    (directory / "labels.json").write_text(json.dumps(["red", "green", "blue"]))
    return directory


@pytest.mark.slow
def test_loads_in_a_process_without_convscout_or_pickle_and_predicts(study, store, tmp_path):
    uri = register_champion(study, store, write_export(tmp_path / "export"), IMAGES, 0.5)
    assert uri == "models:/demo@champion"
    assert not list(study.home.artifacts.rglob("*.pkl"))
    np.save(tmp_path / "images.npy", IMAGES)
    answer = subprocess.run(
        [sys.executable, "-c", LOAD, store.uri, uri, str(tmp_path / "images.npy")],
        env={**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    channels = IMAGES.mean(axis=(1, 2)).argmax(axis=1)
    assert json.loads(answer.stdout) == [("red", "green", "blue")[channel] for channel in channels]


def test_belongs_to_the_study_s_run_and_is_registered_once_an_export(study, store, tmp_path):
    export = write_export(tmp_path / "export")
    register_champion(study, store, export, IMAGES, 0.5)
    register_champion(study, store, export, IMAGES, 0.5)
    client = store.client()
    (first,) = client.search_model_versions("name = 'demo'")
    assert first.run_id == StudyRuns(study, store, None).study_run_id
    register_champion(study, store, write_export(export, version=2), IMAGES, 0.5)
    assert len(client.search_model_versions("name = 'demo'")) == 2
    assert client.get_model_version_by_alias("demo", "champion").version != first.version


def test_the_best_on_validation_is_champion_and_a_newer_one_that_is_not_challenges(study, store, tmp_path):
    export, client = tmp_path / "export", store.client()

    def aliases(version: int, accuracy: float) -> dict[str, str]:
        register_champion(study, store, write_export(export, version=version), IMAGES, accuracy)
        return {alias: str(each) for alias, each in client.get_registered_model("demo").aliases.items()}

    assert aliases(1, 0.9) == {"champion": "1"}
    assert aliases(2, 0.8) == {"champion": "1", "challenger": "2"}
    assert aliases(1, 0.9) == {"champion": "1", "challenger": "2"}  # registered again, it stays what it was
    assert aliases(3, 0.85) == {"champion": "1", "challenger": "3"}
    assert aliases(4, 0.9) == {"champion": "4"}


def test_the_card_describes_each_version_and_the_champion_s_the_model(study, store, tmp_path):
    export, client = write_export(tmp_path / "export"), store.client()
    (export / "README.md").write_text("---\ntags: [x]\n---\n\n# First\n\n| a |\n|---|\n")
    register_champion(study, store, export, IMAGES, 0.9)
    described = client.get_registered_model("demo").description
    assert described.splitlines()[0] == "[Study demo](/studies/demo) in `convscout serve`"
    assert described.endswith("\n\n# First\n\n| a |\n|---|\n")
    (export / "README.md").write_text("# Second\n" + "a line of a long card\n" * 400)
    register_champion(study, store, write_export(export, version=2), IMAGES, 0.8)
    second = client.get_model_version("demo", "2").description
    assert len(second) <= 5000 and "# Second" in second
    assert second.endswith(
        "a line of a long card\n\n… the whole card is `README.md` among the artifacts of this version."
    )
    assert client.get_registered_model("demo").description == described
    assert model_link(study.home.study("demo")) == "/mlflow/#/models/demo?workflowType=machine_learning"


def test_homes_that_share_a_server_have_champions_of_their_own(store, tmp_path):
    export = write_export(tmp_path / "export")
    one, other = (recorded_study(tmp_path / name) for name in ("one", "other"))
    for study in (one, other):
        study.home.root.mkdir()
        HomeIdentity.new(study.home.root).save(study.home.root)
    assert register_champion(one, store, export, IMAGES, 0.9) == "models:/demo@champion"
    theirs = f"demo-{other.home.id[:8]}"
    assert register_champion(other, store, export, IMAGES, 0.5) == f"models:/{theirs}@champion"
    assert len(store.client().search_model_versions(f"name = '{theirs}'")) == 1


@pytest.mark.slow
def test_mlflow_ranks_logged_models_by_what_their_studies_came_to(study, store, tmp_path):
    others = {"demo": 0.7, "better": 0.9, "run-1.2": 0.5}  # the last as earlier versions allowed it
    for name, accuracy in others.items():
        each = study if name == "demo" else recorded_study(study.home.root, name)
        values = {"ensemble.test_accuracy": accuracy, "ensemble.test_nll": math.nan}
        each.notes[METRICS_NOTE] = OutcomeMetrics(values=values, at_ms=1_000).to_note()
        sync(each, store)
        register_champion(each, store, write_export(tmp_path / name), IMAGES, accuracy)
        register_champion(each, store, tmp_path / name, IMAGES, accuracy)  # which measures nothing twice
        assert differences(each, store) == []
    client = store.client()
    ranked = client.search_logged_models(
        [each.experiment_id for each in client.search_experiments()],
        filter_string="params.data = 'digits' AND metrics.`ensemble.test_accuracy` > 0",
        order_by=[{"field_name": "metrics.ensemble.test_accuracy", "ascending": False}],
    )
    assert [model.name for model in ranked] == ["better", "demo", "run-1-2"]
    assert [[(m.key, m.value) for m in model.metrics] for model in ranked] == [
        [("ensemble.test_accuracy", accuracy)] for accuracy in (0.9, 0.7, 0.5)
    ]
    # the version and its logged model name each other
    for model, name in zip(ranked, ("better", "demo", "run-1.2"), strict=True):
        version = client.get_model_version_by_alias(name, "champion")
        assert version.tags["convscout.model_id"] == model.model_id
        assert json.loads(model.tags["mlflow.modelVersions"]) == [
            {"name": version.name, "version": version.version}
        ]
        files = Path(version.source.removeprefix("file://"))
        assert str(tmp_path) not in (files / "MLmodel").read_text().replace(version.source, "")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_mlflow_serves_the_champion(study, store, tmp_path):
    ensemble = trained_ensemble("lenet", image_size=8)
    export_ensemble(ensemble, tmp_path / "export", random_images(8, ensemble))
    uri = register_champion(study, store, tmp_path / "export", random_images(1, ensemble), 0.9)
    images = np.random.default_rng(1).integers(0, 256, (3, 11, 7, 3), dtype=np.uint8)  # of any size
    expected = ExportedModel(tmp_path / "export" / "model.onnx").probabilities(images)
    with served(uri, store.uri, tmp_path) as address:
        answers = asked(address, images)
    assert list(answers[0]) == list(ensemble.class_names)
    np.testing.assert_allclose([list(row.values()) for row in answers], expected, atol=1e-5)
