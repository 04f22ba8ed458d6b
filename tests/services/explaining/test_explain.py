"""Explanations point at what an answer rests on: networks that learnt a patch look at the patch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.errors import ConvscoutError, DataError, UnknownNameError, UserError
from convscout.services.config.home import Home
from convscout.services.config.toml import to_toml
from convscout.services.ensembles.trained import TrainedEnsemble, TrainedMember
from convscout.services.explaining import explain as explaining
from convscout.services.explaining.explain import EXPLANATIONS_FILE, ExplainConfig, choosy, explain
from convscout.services.explaining.layers import excitations, first_filters, last_map
from convscout.services.explaining.method import Heat
from convscout.services.explaining.methods.integrated_gradients import IntegratedGradientsMethod
from convscout.services.explaining.networks import (
    CalibratedNetwork,
    ExplainedNetwork,
    log_odds,
    networks,
    normalise,
)
from convscout.services.ledger.ledger import Ledger
from convscout.services.plugins import methods
from convscout.services.studies.outcome import load_outcome
from convscout.services.tracking.runs import find_runs
from convscout.services.tracking.store import TrackingStore
from convscout.trials.data.image_files import name_formats
from convscout.trials.data.splits import Labels, Normalization, Pixels
from tests.services.cli.test_study import Captured, run
from tests.support.studies import bundle_alone, tiny_config
from tests.support.trained_ensembles import random_images, trained_ensemble

SIDE, PATCH = 16, 4
IMAGE = ImageSpec(in_channels=3, image_size=SIDE, num_classes=2)
FAMILIES = ("lenet", "lenet", "mlp")
SIZES = {"lenet": {"width": 8, "depth": 2}, "mlp": {"width": 64}}
Corners = list[tuple[int, int]]


def quiet(_: object) -> None:
    """A listener."""


def patched(count: int, seed: int) -> tuple[Pixels, Labels, Corners]:
    """Grey noise with a square anywhere, whose stripes lie in class 0 and stand in class 1, and where its corner is."""
    rng = np.random.default_rng(seed)
    images = rng.integers(100, 150, size=(count, SIDE, SIDE, 3), dtype=np.uint8)
    labels = rng.integers(2, size=count)
    corners = [(int(row), int(column)) for row, column in rng.integers(1, SIDE - PATCH, size=(count, 2))]
    for image, label, (row, column) in zip(images, labels, corners, strict=True):
        square = image[row : row + PATCH, column : column + PATCH]
        square[:] = 0
        (square[:, ::2] if label else square[::2])[:] = 255
    return images, labels, corners


@pytest.fixture(scope="module")
def ensemble() -> TrainedEnsemble:
    """Two LeNets and an MLP that tell how the stripes run."""
    shell = dict(
        study="patches", data="patches", fingerprint="0" * 64, class_names=("lying", "standing"), image=IMAGE,
        normalization=Normalization(mean=(0.49,) * 3, std=(0.2,) * 3), metrics={}, temperature=1.3,
    )  # fmt: skip
    images, labels, _ = patched(1500, 0)
    inputs = normalise(images, TrainedEnsemble(members=(), **shell))
    members = [
        _member(number, name, weight, inputs, torch.tensor(labels))
        for number, (name, weight) in enumerate(zip(FAMILIES, (0.5, 0.3, 0.2), strict=True))
    ]
    trained = TrainedEnsemble(members=tuple(members), **shell)
    images, labels, _ = patched(200, 1)
    for network in networks(trained, None)[:3]:
        assert np.mean(network.probabilities(normalise(images, trained)).argmax(axis=1) == labels) > 0.97
    return trained


def _member(
    number: int, family: str, weight: float, inputs: torch.Tensor, labels: torch.Tensor
) -> TrainedMember:
    torch.manual_seed(number)
    architecture = families.get(family)(**SIZES[family])
    model = architecture.build(IMAGE)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(4):
        for index in torch.randperm(len(inputs)).split(50):
            loss = F.cross_entropy(model(inputs[index]), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return TrainedMember(
        number=number, weight=weight, temperature=0.9, architecture=architecture, weights=model.state_dict()
    )


def heats(
    name: str, network: ExplainedNetwork, ensemble: TrainedEnsemble, other: bool = False
) -> list[tuple[Heat, tuple[int, int]]]:
    """The heat of twelve images for their class, or for the other, and where their squares are."""
    images, labels, corners = patched(12, 2)
    found = []
    for pixels, label, corner in zip(images, labels, corners, strict=True):
        target = 1 - int(label) if other else int(label)
        heat = methods.get(name)().heat(network, normalise(pixels[np.newaxis], ensemble), target)
        assert not isinstance(heat, str) and heat.shape == (SIDE, SIDE) and np.isfinite(heat).all()
        found.append((heat, corner))
    return found


def around(corner: tuple[int, int], margin: int) -> np.ndarray:
    """(H, W): whether a pixel is in the square or so near to it."""
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    row, column = corner
    mask[max(0, row - margin) : row + PATCH + margin, max(0, column - margin) : column + PATCH + margin] = (
        True
    )
    return mask


@pytest.mark.parametrize("which", [0, 1], ids=["ensemble", "member"])
@pytest.mark.parametrize("name", methods.names())
def test_heat_lies_on_the_square(name: str, which: int, ensemble: TrainedEnsemble) -> None:
    margin = 2  # gradients see a filter's width farther, and covers as far as they reach
    convolving = replace(ensemble, members=ensemble.members[:2])  # an MLP's gradients are everywhere
    shares, hits = [], []
    for heat, corner in heats(name, networks(convolving, None)[which], ensemble):
        mask, positive = around(corner, margin), np.maximum(heat, 0)
        shares.append(positive[mask].sum() / positive.sum() / mask.mean())
        hits.append(mask[np.unravel_index(heat.argmax(), heat.shape)])
    assert np.median(shares) > 1.3, "no denser there than elsewhere"
    assert np.mean(hits) >= 0.75


@pytest.mark.parametrize("name", [name for name, method in methods.items() if method.signed])
def test_what_speaks_for_one_class_speaks_against_the_other(name: str, ensemble: TrainedEnsemble) -> None:
    network = networks(ensemble, 0)[0]
    for_it = heats(name, network, ensemble)
    against = heats(name, network, ensemble, other=True)
    for (heat, corner), (opposite, _) in zip(for_it, against, strict=True):
        square = around(corner, 0)
        assert heat[square].sum() > 0 > opposite[square].sum()
        np.testing.assert_allclose(heat, -opposite, atol=1e-3 * np.abs(heat).max())  # of two classes


def test_integrated_gradients_sum_to_the_difference_they_explain(ensemble: TrainedEnsemble) -> None:
    network = networks(ensemble, 0)[0]
    image = normalise(patched(1, 3)[0], ensemble)
    heat = IntegratedGradientsMethod().heat(network, image, 0)
    assert not isinstance(heat, str)
    explained = float((network(image) - network(torch.zeros_like(image)))[0, 0])
    assert heat.sum() == pytest.approx(explained, rel=0.05, abs=0.1)


def test_grad_cam_of_an_ensemble_is_the_mean_of_members_that_have_maps(ensemble: TrainedEnsemble) -> None:
    whole, first, second, perceptron = networks(ensemble, None)
    image = normalise(patched(1, 4)[0], ensemble)
    method = methods.get("grad-cam")()
    assert method.heat(perceptron, image, 0) == "it has no feature map of more than one pixel"
    maps = [method.heat(network, image, 1) for network in (first, second)]
    scaled = [np.asarray(each) / max(np.max(each), 1e-12) for each in maps]
    np.testing.assert_allclose(method.heat(whole, image, 1), 0.5 * scaled[0] + 0.3 * scaled[1], atol=1e-5)


@pytest.mark.parametrize("biases", [(), (0.5, -1.0, 0.0, 2.0)], ids=["mean", "stacked"])
def test_networks_answer_as_the_ensemble_does_at_one_look(biases: tuple[float, ...]) -> None:
    ensemble = trained_ensemble("lenet", "resnet")
    members = tuple(replace(member, view="plain") for member in ensemble.members)
    ensemble = replace(ensemble, members=members, biases=biases)
    images = random_images(5, ensemble)
    whole, heaviest = networks(ensemble, 1)
    expected = ensemble.build_module().answer(images)
    np.testing.assert_allclose(whole.probabilities(normalise(images, ensemble)), expected, atol=1e-5)
    assert (heaviest.name, heaviest.title) == ("member-00002-best", "trial 2, lenet (67%)")
    assert len(networks(ensemble, None)) == 3 and len(networks(ensemble, 0)) == 1


def test_log_odds_go_on_where_probabilities_end() -> None:
    logits = torch.randn(6, 5, dtype=torch.float64)
    probabilities = logits.softmax(dim=1)
    torch.testing.assert_close(log_odds(logits), torch.logit(probabilities))
    sure = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    log_odds(sure)[0, 0].backward()
    assert sure.grad is not None and sure.grad[0, 0] == 1


# layers


@pytest.mark.parametrize("family", [name for name, family in families.items() if family.searched])
def test_every_family_has_a_last_map_and_first_filters(family: str) -> None:
    image = ImageSpec(in_channels=3, image_size=32, num_classes=4)
    network = families.get(family).proven().build(image).eval()
    blank = torch.zeros(1, 3, 32, 32)
    filters = first_filters(network, blank)
    assert filters is not None and filters.shape[3] == 3 and np.abs(filters).max() > 0
    assert excitations(network, blank).ndim == 2
    layer = last_map(network, blank)
    assert (layer is None) == (family == "mlp")
    if layer is None:
        return
    alone = ExplainedNetwork("it", "it", [CalibratedNetwork(network, 1.0)], [1.0])
    heat = methods.get("grad-cam")().heat(alone, torch.randn(1, 3, 32, 32), 1)
    assert not isinstance(heat, str) and heat.shape == (32, 32)
    assert np.isfinite(heat).all() and heat.min() >= 0


def test_units_that_stand_out_come_first_and_not_twice_for_one_image() -> None:
    excited = np.zeros((10, 4), dtype=np.float32)
    excited[:, 0] = np.arange(10)
    excited[3, 1], excited[3, 2] = 5, 7
    assert choosy(excited, 4)[:2] == [1, 0] and sorted(choosy(excited, 4)) == [0, 1, 2, 3]
    assert choosy(excited, 1) == [1]


# files


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Two images of squares and a file that is none."""
    for name, pixels in zip(("a b.png", "ä.png"), patched(2, 5)[0], strict=True):
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "no.png").write_text("no")
    return [tmp_path / name for name in ("a b.png", "no.png", "ä.png")]


def test_a_picture_for_every_network_is_written_and_told(
    ensemble: TrainedEnsemble, pictures: list[Path], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    wanted = ExplainConfig(methods=("grad-cam", "saliency"), filters=True)
    found = explain(ensemble, pictures, wanted, output, quiet)
    names = ["ensemble", "member-00000-best", "member-00001-best", "member-00002-best"]
    assert [list(each.files) for each in found.explanations] == [names] * 2
    assert found.explanations[0].files["ensemble"] == "001-a_b-ensemble.png"
    assert found.unreadable == {str(pictures[1]): f"is not {name_formats()} image"}
    assert found.skipped == {"grad-cam of trial 2, mlp (20%)": "it has no feature map of more than one pixel"}
    assert found.files == [f"filters-member-0000{number}-best.png" for number in range(3)]
    assert {path.name for path in output.iterdir()} == {EXPLANATIONS_FILE, *found.all_files}
    for name in found.all_files:
        with Image.open(output / name) as picture:
            assert picture.width > 300 and np.asarray(picture).std() > 5
    said = json.loads((output / EXPLANATIONS_FILE).read_text())
    assert said == found.to_dict()
    expected = ensemble.build_module().answer(patched(2, 5)[0])
    for each, answer in zip(found.explanations, expected, strict=True):
        assert each.class_name == ensemble.class_names[answer.argmax()]
        assert each.top == pytest.approx(
            dict(zip(ensemble.class_names, answer.tolist(), strict=True)), abs=1e-4
        )


def test_an_earlier_explanation_is_replaced_and_nothing_else(
    ensemble: TrainedEnsemble, pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, wanted = tmp_path / "out", ExplainConfig(methods=("saliency",), members=0, class_name="lying")
    explain(ensemble, pictures, wanted, output, quiet)
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    assert len(before) == 3

    def broken(*_: object) -> Heat:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(explaining, "explanation", broken)
        with pytest.raises(ConvscoutError, match="No space left"):
            explain(ensemble, pictures, wanted, output, quiet)
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    explain(ensemble, pictures[:1], wanted, output, quiet)
    assert len(list(output.iterdir())) == 2
    (output / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match=r"holds 'thesis\.txt'"):
        explain(ensemble, pictures, wanted, output, quiet)
    with pytest.raises(UserError, match="is a file"):
        explain(ensemble, pictures, wanted, pictures[0], quiet)


@pytest.mark.parametrize(
    ("wanted", "error", "told"),
    [
        (ExplainConfig(methods=("grad-cma",)), UnknownNameError, "Did you mean 'grad-cam'"),
        (
            ExplainConfig(class_name="slanting"),
            UnknownNameError,
            "unknown class 'slanting'; choose from lying, standing",
        ),
    ],
)
def test_names_that_there_are_not_are_told_and_nothing_is_written(
    ensemble: TrainedEnsemble,
    pictures: list[Path],
    tmp_path: Path,
    wanted: ExplainConfig,
    error: type[Exception],
    told: str,
) -> None:
    with pytest.raises(error, match=told):
        explain(ensemble, pictures, wanted, tmp_path / "out", quiet)
    assert not (tmp_path / "out").exists()


def test_nothing_but_bad_images_is_an_error(
    ensemble: TrainedEnsemble, pictures: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"nothing could be explained: .*no\.png is not a PNG"):
        explain(ensemble, pictures[1:2], ExplainConfig(), tmp_path / "out", quiet)
    assert not (tmp_path / "out").exists()


# the command


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home where ``tiny`` was searched to its end."""
    root = tmp_path_factory.mktemp("home")
    (root / "tiny.toml").write_text(to_toml(tiny_config(trials=2)), encoding="utf-8")
    with bundle_alone():
        assert run("search", "--config", root / "tiny.toml", "--home", root) == 0
    return root


@pytest.fixture(scope="module")
def export(home: Path) -> Path:
    outcome = load_outcome(Ledger.open(Home(home).study("tiny")))
    assert outcome is not None
    return outcome.export


def test_a_study_shows_its_explanations_in_mlflow(
    home: Path, export: Path, tmp_path: Path, capsys: Captured
) -> None:
    Image.effect_noise((20, 20), 90).save(tmp_path / "noise.png")
    asked = ("explain", export, tmp_path / "noise.png", "--output", tmp_path / "out", "--home", home)
    asked += ("--members", 1, "--methods", "saliency,occlusion", "--filters", "--units", 3)
    capsys.readouterr()
    assert run(*asked, "--data", "digits", "--study", "tiny", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["mlflow"] == "in MLflow with study tiny, under explanations"
    written = {path.name for path in (tmp_path / "out").iterdir()}
    kinds = sorted(name.partition("-")[0] for name in written if name != EXPLANATIONS_FILE)
    assert kinds == ["001", "001", "filters", "units"]
    store = TrackingStore.at(Home(home))
    client = store.client()
    [run_of_study] = find_runs(client, client.get_experiment_by_name("tiny").experiment_id, "tiny")[None]
    shown = {item.path for item in client.list_artifacts(run_of_study.info.run_id, "explanations")}
    assert shown == {f"explanations/{name}" for name in written}


def test_the_command_names_what_it_wrote_and_what_it_cannot_read(
    export: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.effect_noise((20, 20), 90).save("noise.png")
    Path("no.png").touch()
    assert run("explain", export, ".", "--members", "none", "--methods", "saliency", "--class", "7") == 2
    captured = capsys.readouterr()
    assert "noise.png: " in captured.out and "explanations/002-noise-ensemble.png" in captured.out
    assert "error: 1 of 2 files could not be read as images: no.png is empty (0 bytes)" in captured.err
    assert (
        json.loads(Path("explanations", EXPLANATIONS_FILE).read_text())["explanations"][0]["class_name"]
        == "7"
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "IMAGE: give images to explain, or --filters"),
        (["--units", "2"], "units: needs --data DATA"),
        (["a.png", "--members", "some"], "members: must be a whole number, all or none"),
        (["a.png", "--study", "nowhere"], "no study 'nowhere'"),
        (["a.png"], "nothing could be explained: a.png does not exist"),
    ],
)
def test_what_cannot_be_explained_is_told(
    export: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
    options: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("explain", export, *options) == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
