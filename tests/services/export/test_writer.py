"""An export answers as the trained networks do, is whole or absent, and is refused once damaged."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec
from convscout.search_space.classifier import Classifier
from convscout.search_space.errors import ConfigError, ConvscoutError, ExportError, UnknownNameError
from convscout.services.cli.formats import DEFAULT_FORMATS, FORMATS
from convscout.services.ensembles.trained import TrainedEnsemble, TrainedMember
from convscout.services.export import checksums
from convscout.services.export import writer as exporting
from convscout.services.export.formats.bundle import BundleExporter, load_bundle
from convscout.services.export.formats.onnx import OnnxExporter
from convscout.services.export.onnx_model import MODEL_FILE, ExportedModel
from convscout.services.export.parity import TOLERANCE, Parity
from convscout.services.export.writer import default_formats, export, refuse_left_out
from convscout.services.plugins import exporters
from convscout.trials.data.splits import Pixels
from convscout.trials.data.white import FULL
from convscout.trials.evaluation.metrics import Probabilities
from convscout.trials.evaluation.tta import VIEWS, Viewed
from tests.support.places import ROOT
from tests.support.reading_back import read_back_here
from tests.support.trained_ensembles import random_images, trained_ensemble

BUNDLE = ("bundle",)  # the quickest format, where the format does not matter
EXPORT_AND_DIE = """
import os, sys
from pathlib import Path
from convscout.services.system import directories
from convscout.services.export.writer import export
from tests.support.trained_ensembles import random_images, trained_ensemble

directories._put = lambda new, directory: os._exit(137)
ensemble = trained_ensemble("lenet")
export(ensemble, Path(sys.argv[1]), random_images(8, ensemble), formats=["bundle"])
"""


@pytest.fixture(scope="module")
def ensemble() -> TrainedEnsemble:
    return trained_ensemble("lenet", "resnet", "vgg")


@pytest.fixture(scope="module")
def exported(ensemble: TrainedEnsemble, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("exported") / "export"
    export(ensemble, directory, random_images(300, ensemble))
    return directory


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "copied"))


def _looked(member: TrainedMember, ensemble: TrainedEnsemble) -> nn.Module:
    return Viewed(member.build(ensemble.image), VIEWS[member.view]).eval()


def _answers(ensemble: TrainedEnsemble, images: Pixels) -> Probabilities:
    return ensemble.build_module().answer(images)


def _small(number: int = 2) -> TrainedEnsemble:
    return trained_ensemble("lenet", channels=1, image_size=number * 8)


# what an export answers


def test_the_module_is_the_calibrated_weighted_mean_of_its_members(ensemble: TrainedEnsemble) -> None:
    images = random_images(5, ensemble)
    mean, std = np.array(ensemble.normalization.mean), np.array(ensemble.normalization.std)
    inputs = torch.tensor(((images / 255 - mean) / std).transpose(0, 3, 1, 2), dtype=torch.float32)
    with torch.inference_mode():
        answers = [
            member.weight * (_looked(member, ensemble)(inputs) / member.temperature).softmax(1)
            for member in ensemble.members
        ]
        expected = (torch.stack(answers).sum(dim=0).log() / ensemble.temperature).softmax(1)
    assert ensemble.temperature != 1 and all(member.temperature != 1 for member in ensemble.members)
    module = ensemble.build_module()
    assert not module.training
    torch.testing.assert_close(module(torch.from_numpy(images)), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_stacked_ensemble_is_the_weighted_mean_of_logarithms(
    tmp_path: Path, ensemble: TrainedEnsemble
) -> None:
    stacked = replace(ensemble, biases=(0.5, -1.0, 0.0, 2.0))
    images = random_images(40, stacked)
    mean, std = np.array(ensemble.normalization.mean), np.array(ensemble.normalization.std)
    inputs = torch.tensor(((images / 255 - mean) / std).transpose(0, 3, 1, 2), dtype=torch.float32)
    with torch.inference_mode():
        logs = [
            member.weight * (_looked(member, ensemble)(inputs) / member.temperature).log_softmax(1)
            for member in ensemble.members
        ]
    pooled = torch.stack(logs).sum(dim=0) + torch.tensor(stacked.biases)
    expected = (pooled / ensemble.temperature).softmax(1).numpy()
    np.testing.assert_allclose(_answers(stacked, images), expected, atol=1e-5)
    export(stacked, tmp_path / "export", images, formats=["bundle", "onnx"])
    answers = ExportedModel(tmp_path / "export" / "model.onnx").probabilities(images)
    np.testing.assert_allclose(answers, expected, atol=TOLERANCE)
    np.testing.assert_array_equal(
        _answers(load_bundle(tmp_path / "export"), images), _answers(stacked, images)
    )


@pytest.mark.parametrize("count", [0, 1, 2, 33, 300])
def test_onnx_answers_alike_in_batches_of_any_size(
    exported: Path, ensemble: TrainedEnsemble, count: int
) -> None:
    images = random_images(count, ensemble, seed=count)
    session = onnxruntime.InferenceSession(exported / "model.onnx", providers=["CPUExecutionProvider"])
    (answers,) = session.run(["probabilities"], {"images": images})
    assert answers.shape == (count, 4) and answers.dtype == np.float32
    np.testing.assert_allclose(answers, _answers(ensemble, images), atol=TOLERANCE)
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)


def test_onnx_says_what_it_is_and_nothing_of_this_machine(exported: Path, ensemble: TrainedEnsemble) -> None:
    model = ExportedModel(exported / "model.onnx")
    assert model.class_names == ensemble.class_names
    assert (model.image_size, model.in_channels) == (16, 3)
    assert str(ROOT).encode() not in (exported / "model.onnx").read_bytes()
    (graph_input,) = onnx.load(exported / "model.onnx").graph.input
    sizes = graph_input.type.tensor_type.shape.dim
    assert [bool(size.dim_param) for size in sizes] == [True, True, True, False] and sizes[3].dim_value == 3


@pytest.mark.parametrize("size", [(1, 1), (9, 16), (16, 9), (40, 31), (200, 333)])
def test_onnx_answers_alike_to_images_of_any_size(
    exported: Path, ensemble: TrainedEnsemble, size: tuple[int, int]
) -> None:
    images = np.random.default_rng(0).integers(256, size=(3, *size, 3)).astype(np.uint8)
    answers = ExportedModel(exported / "model.onnx").probabilities(images)
    np.testing.assert_allclose(answers, _answers(ensemble, images), atol=TOLERANCE)


def test_a_bundle_comes_back_as_it_was(exported: Path, ensemble: TrainedEnsemble) -> None:
    loaded = load_bundle(exported)
    for name in ("study", "data", "fingerprint", "class_names", "image", "normalization", "metrics"):
        assert getattr(loaded, name) == getattr(ensemble, name)
    for one, other in zip(loaded.members, ensemble.members, strict=True):
        assert (one.number, one.weight, one.architecture) == (other.number, other.weight, other.architecture)
    images = random_images(9, ensemble)
    np.testing.assert_array_equal(_answers(loaded, images), _answers(ensemble, images))


def test_parity_is_on_record(exported: Path) -> None:
    parity = json.loads((exported / "parity.json").read_text())
    assert set(parity) == {"bundle", "onnx"}
    for values in parity.values():
        assert values["num_images"] == 256 + 2 * 24 and len(values["shapes"]) == 3
        assert values["shapes"][0] == [16, 16, 3] and values["shapes"][1] == [10, 13, 3]
        assert {1, 2, 33} <= set(values["batch_sizes"])
        assert values["max_difference"] <= TOLERANCE and values["num_changed"] == 0


def test_the_model_card_tells_what_was_exported(exported: Path, ensemble: TrainedEnsemble) -> None:
    card = (exported / "README.md").read_text()
    assert ensemble.fingerprint in card
    assert "| test.accuracy | 0.9375 |" in card
    assert "&lt;img onerror&gt;" in card and "dog &#124; wolf" in card and "<img" not in card
    assert all(
        f"| {member.number} | best | {VIEWS[member.view].passes}, {member.view} | {member.architecture.name} |"
        in card
        for member in ensemble.members
    )
    assert json.loads((exported / "labels.json").read_text()) == list(ensemble.class_names)


def test_sha256sum_agrees(exported: Path) -> None:
    listed = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=exported,
        capture_output=True,
        text=True,
        check=True,
    )
    verified = {line.removesuffix(": OK") for line in listed.stdout.splitlines()}
    assert verified == {path.name for path in exported.iterdir()} - {"SHA256SUMS"}


# damage


@pytest.mark.parametrize("name", ["config.json", "member-00012-best.safetensors", "model.onnx", "predict.py"])
def test_a_flipped_byte_is_refused(copied: Path, name: str) -> None:
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(content)
    with pytest.raises(ExportError, match=rf"{name} is damaged or was changed"):
        load_bundle(copied)


def test_a_truncated_file_is_refused(copied: Path) -> None:
    content = (copied / "model.onnx").read_bytes()
    (copied / "model.onnx").write_bytes(content[: int(0.999 * len(content))])
    with pytest.raises(ExportError, match=r"model\.onnx is damaged or was changed"):
        load_bundle(copied)


def test_a_missing_file_is_refused(copied: Path) -> None:
    (copied / "member-00002-best.safetensors").unlink()
    with pytest.raises(ExportError, match=r"member-00002-best\.safetensors is missing"):
        load_bundle(copied)


@pytest.mark.slow
@read_back_here()
def test_a_file_of_another_export_is_refused(copied: Path, tmp_path: Path) -> None:
    other = trained_ensemble("vgg", "lenet")
    export(other, tmp_path / "other", random_images(4, other), formats=BUNDLE)
    shutil.copy(tmp_path / "other" / "member-00002-best.safetensors", copied)
    with pytest.raises(ExportError, match=r"member-00002-best\.safetensors is damaged or was changed"):
        load_bundle(copied)


@pytest.mark.parametrize(
    "line", ["not a hash", f"{'0' * 64}  ../outside", f"{'0' * 64}  /etc/hostname", f"{'0' * 63}  model.onnx"]
)
def test_an_unreadable_list_of_hashes_is_refused(copied: Path, line: str) -> None:
    with (copied / "SHA256SUMS").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ExportError, match="SHA256SUMS is damaged"):
        load_bundle(copied)


def test_what_is_no_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="is not an export: it has no SHA256SUMS"):
        load_bundle(tmp_path)
    with pytest.raises(ExportError, match="nowhere is not a directory"):
        load_bundle(tmp_path / "nowhere")


@read_back_here()
def test_a_bundle_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    small = _small()
    export(small, tmp_path / "export", random_images(4, small), formats=BUNDLE)
    config = tmp_path / "export" / "config.json"
    config.write_text(config.read_text().replace('"schema": 4', '"schema": 5'))
    (tmp_path / "export" / "SHA256SUMS").unlink()
    exporting.write_checksums(tmp_path / "export")
    with pytest.raises(ExportError, match="has schema 5, but this version of convscout reads 4"):
        load_bundle(tmp_path / "export")


@read_back_here()
def test_what_is_white_is_exported_and_earlier_exports_had_full_range(tmp_path: Path) -> None:
    small = replace(_small(), white=4095)
    directory = tmp_path / "export"
    export(small, directory, random_images(4, small), formats=["bundle", "onnx", "standalone"])
    assert load_bundle(directory).white == ExportedModel(directory / MODEL_FILE).white == 4095
    assert "had 4095 for white" in (directory / "README.md").read_text()
    _make_earlier(directory)
    assert load_bundle(directory).white == ExportedModel(directory / MODEL_FILE).white == FULL


def _make_earlier(directory: Path) -> None:
    """Let an export be as those were that did not tell what is white."""
    config = json.loads((directory / "config.json").read_text())
    del config["white"]
    (directory / "config.json").write_text(json.dumps({**config, "schema": 3}))
    model = onnx.load(directory / MODEL_FILE)
    kept = {each.key: each.value for each in model.metadata_props if each.key != "white"}
    onnx.helper.set_model_props(model, kept)
    onnx.save(model, directory / MODEL_FILE)
    (directory / "SHA256SUMS").unlink()
    exporting.write_checksums(directory)


def test_weights_of_another_architecture_are_refused() -> None:
    ensemble = trained_ensemble("lenet", "vgg")
    one, other = ensemble.members
    with pytest.raises(ExportError, match="weights of trial 2 do not fit"):
        type(one)(number=2, weight=1, architecture=one.architecture, weights=other.weights).build(
            ensemble.image
        )


# putting it in place


@pytest.mark.slow
@read_back_here()
def test_an_export_killed_before_the_rename_leaves_the_old_one(tmp_path: Path) -> None:
    target, small = tmp_path / "export", _small()
    export(small, target, random_images(8, small), formats=BUNDLE)
    command = [sys.executable, "-c", EXPORT_AND_DIE, str(target)]
    assert subprocess.run(command, cwd=ROOT, timeout=100).returncode == 137
    assert len(list(tmp_path.iterdir())) == 2  # what the killed run was writing lies beside the old one
    images = random_images(5, small)
    np.testing.assert_array_equal(_answers(load_bundle(target), images), _answers(small, images))
    export(small, target, random_images(8, small), formats=BUNDLE)
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.slow
@read_back_here()
def test_a_newer_export_replaces_the_whole_older_one(tmp_path: Path) -> None:
    older, newer = trained_ensemble("lenet", "vgg"), _small()
    export(older, tmp_path / "export", random_images(4, older), formats=BUNDLE)
    export(newer, tmp_path / "export", random_images(4, newer), formats=BUNDLE)
    assert len(load_bundle(tmp_path / "export").members) == 1
    assert len(list((tmp_path / "export").glob("*.safetensors"))) == 1


@pytest.mark.slow
@read_back_here()
def test_files_of_the_person_are_never_replaced(tmp_path: Path) -> None:
    small = _small()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ExportError, match="is in the way"):
        export(small, tmp_path, random_images(4, small), formats=BUNDLE)
    export(small, tmp_path / "export", random_images(4, small), formats=BUNDLE)
    (tmp_path / "export" / "cat.png").write_text("mine")
    with pytest.raises(ExportError, match=r"holds 'cat\.png', which is not part of the export"):
        export(small, tmp_path / "export", random_images(4, small), formats=BUNDLE)
    assert (tmp_path / "notes.txt").exists() and (tmp_path / "export" / "cat.png").exists()
    with pytest.raises(ExportError, match="is not a directory"):
        export(small, tmp_path / "notes.txt", random_images(4, small), formats=BUNDLE)


def test_the_help_names_every_format() -> None:
    assert set(FORMATS) == {name for name, _ in exporters.items()}
    assert default_formats() == DEFAULT_FORMATS


def test_formats_that_are_unknown_or_incomplete_are_refused(tmp_path: Path) -> None:
    small = _small()
    with pytest.raises(UnknownNameError, match=r"choose from .*bundle, .*docker, .*onnx, .*pt2"):
        export(small, tmp_path / "export", random_images(4, small), formats=["onyx"])
    with pytest.raises(ConfigError, match="standalone needs onnx"):
        export(small, tmp_path / "export", random_images(4, small), formats=["standalone"])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_pt2_answers_alike_in_a_process_that_knows_torch_alone(
    tmp_path: Path, ensemble: TrainedEnsemble
) -> None:
    images = random_images(35, ensemble)
    exported = export(ensemble, tmp_path / "export", images, formats=["pt2"])
    assert exported.parities["pt2"].passed and {path.name for path in (tmp_path / "export").iterdir()} == {
        "model.pt2", "parity.json", "SHA256SUMS",
    }  # fmt: skip
    np.save(tmp_path / "images.npy", images)
    program = (
        "import numpy, sys, torch; module = torch.export.load(sys.argv[1]).module(); "
        "images = torch.from_numpy(numpy.load('images.npy')); "
        "numpy.save('answers.npy', torch.cat([module(images[:1]), module(images[1:])]).detach().numpy()); "
        "assert 'services' not in sys.modules"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "export" / "model.pt2")]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=100)
    np.testing.assert_allclose(np.load(tmp_path / "answers.npy"), _answers(ensemble, images), atol=TOLERANCE)
    other = np.random.default_rng(0).integers(256, size=(2, 31, 20, 3)).astype(np.uint8)
    program = torch.export.load(tmp_path / "export" / "model.pt2").module()
    answers = program(torch.from_numpy(other)).detach().numpy()
    np.testing.assert_allclose(answers, _answers(ensemble, other), atol=TOLERANCE)


def test_what_few_want_is_written_only_when_named(exported: Path) -> None:
    assert not (exported / "model.pt2").exists() and not (exported / "Dockerfile").exists()
    assert default_formats() == ("bundle", "onnx", "standalone")


# the parity gate


_write_onnx = OnnxExporter.write


class Skewed(OnnxExporter):
    """An ONNX export gone wrong: the file on disk knows other weights than the trained networks."""

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        (member,) = ensemble.members
        with torch.no_grad():
            spoiled = {key: 1.05 * value for key, value in member.weights.items()}
        wrong = type(member)(number=2, weight=1, architecture=member.architecture, weights=spoiled)
        _write_onnx(self, trained_with(ensemble, wrong), directory)


def trained_with(ensemble: TrainedEnsemble, member: object) -> TrainedEnsemble:
    return TrainedEnsemble(**{**vars(ensemble), "members": (member,)})


@pytest.fixture
def skewed() -> Iterator[str]:
    exporters.names()
    exporters.register("skewed")(Skewed)
    yield "skewed"
    del exporters._entries["skewed"]


@pytest.mark.slow
def test_an_export_that_answers_differently_is_discarded(tmp_path: Path, skewed: str) -> None:
    small = _small()
    images = random_images(40, small)
    with pytest.raises(ConvscoutError, match="skewed export was discarded: it answers differently"):
        export(small, tmp_path / "export", images, formats=[skewed])
    assert not list(tmp_path.iterdir())
    export(small, tmp_path / "export", images, formats=BUNDLE)
    with pytest.raises(ConvscoutError, match="skewed export was discarded"):
        export(small, tmp_path / "export", images, formats=[skewed])
    assert load_bundle(tmp_path / "export").study == small.study
    assert list(tmp_path.iterdir()) == [tmp_path / "export"]


@pytest.mark.slow
def test_a_format_that_answers_differently_is_left_out_with_the_reason(tmp_path: Path, skewed: str) -> None:
    small = _small()
    exported = export(small, tmp_path / "export", random_images(40, small), formats=["bundle", skewed])
    assert list(exported.parities) == ["bundle"] and list(exported.left_out) == [skewed]
    files = {path.name for path in (tmp_path / "export").iterdir()}
    assert "config.json" in files and "model.onnx" not in files
    told = json.loads((tmp_path / "export" / "parity.json").read_text())
    assert told[skewed] == {"left_out": exported.left_out[skewed]}
    assert "answers differently: probabilities differ by up to" in told[skewed]["left_out"]
    with pytest.raises(ConvscoutError, match="was exported without skewed: it answers differently"):
        refuse_left_out(tmp_path / "export", [skewed])
    refuse_left_out(tmp_path / "export", ["bundle"])


def test_what_builds_on_a_format_that_is_left_out_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OnnxExporter, "write", Skewed.write)
    small = _small()
    exported = export(small, tmp_path / "export", random_images(40, small))
    assert exported.left_out["standalone"] == "it needs onnx, which was left out"
    assert set(exported.left_out) == {"onnx", "standalone"}
    files = {path.name for path in (tmp_path / "export").iterdir()}
    assert not files & {"model.onnx", "predict.py", "README.md"}
    checksums.verify(tmp_path / "export", required="config.json")


@pytest.mark.slow
def test_without_its_bundle_nothing_is_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = _small()
    export(small, tmp_path / "export", random_images(40, small), formats=BUNDLE)
    write = BundleExporter.write

    def write_and_damage(self: BundleExporter, ensemble: TrainedEnsemble, directory: Path) -> None:
        write(self, ensemble, directory)
        (directory / "member-00002-best.safetensors").write_bytes(b"not weights")

    monkeypatch.setattr(BundleExporter, "write", write_and_damage)
    with pytest.raises(
        ConvscoutError, match=r"the bundle export was discarded: .*holds no weights as safetensors"
    ):
        export(small, tmp_path / "export", random_images(40, small))
    assert load_bundle(tmp_path / "export").study == small.study
    assert list(tmp_path.iterdir()) == [tmp_path / "export"]


@pytest.mark.parametrize(("key", "value"), [("network", "../../secret"), ("view", "upside down")])
@read_back_here()
def test_a_bundle_that_says_what_cannot_be_is_refused(tmp_path: Path, key: str, value: str) -> None:
    small = _small()
    export(small, tmp_path / "export", random_images(4, small), formats=BUNDLE)
    config = tmp_path / "export" / "config.json"
    values = json.loads(config.read_text())
    values["members"][0][key] = value
    config.write_text(json.dumps(values))
    (tmp_path / "export" / "SHA256SUMS").unlink()
    exporting.write_checksums(tmp_path / "export")
    with pytest.raises(ExportError, match=rf"does not describe an ensemble .*{value}"):
        load_bundle(tmp_path / "export")


@pytest.mark.parametrize("shift", [2e-4, np.nan])
def test_parity_fails_on_a_difference(shift: float) -> None:
    expected = np.tile(np.array([[0.7, 0.3]], dtype=np.float32), (50, 1))
    batches = np.split(np.zeros((50, 8, 8, 1), np.uint8), [1, 3])
    parity = Parity.of(batches, expected + shift, expected)
    assert not parity.passed
    assert parity.batch_sizes == (1, 2, 47) and parity.shapes == ((8, 8, 1),)
    with pytest.raises(ConvscoutError, match=r"differ by up to .* \(allowed 0\.0001\)"):
        parity.require()


def test_parity_counts_changed_answers_except_near_ties() -> None:
    expected = np.array([[0.7, 0.3], [0.50005, 0.49995]], dtype=np.float32)
    answers = np.array([[0.3, 0.7], [0.49995, 0.50005]], dtype=np.float32)
    parity = Parity.of([np.zeros((2, 1, 1, 1), np.uint8)], answers, expected)
    assert (parity.num_changed, parity.num_near_ties) == (1, 1)
    assert parity.max_difference == pytest.approx(0.4)
    assert Parity.of([np.zeros((2, 1, 1, 1), np.uint8)], answers, expected, tolerance=0.5).passed


class Unconvertible(Classifier):
    """Does what no exporter can follow: branches on the values of its features."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(256, 4)

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) if images.mean() > 0 else -images.flatten(1)

    def forward_head(self, features: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(features)
        return logits


class UnconvertibleConfig(ArchitectureConfig):
    name = "unconvertible"

    def build(self, image: ImageSpec) -> Classifier:
        return Unconvertible()


def test_a_network_that_onnx_cannot_hold_is_a_clear_error(tmp_path: Path) -> None:
    small = _small()
    member = type(small.members[0])(
        number=2, weight=1.0, architecture=UnconvertibleConfig(), weights=Unconvertible().state_dict()
    )
    with pytest.raises(ConvscoutError, match="cannot be converted to ONNX"):
        export(trained_with(small, member), tmp_path / "export", random_images(4, small), formats=["onnx"])
    assert not list(tmp_path.iterdir())
