"""A student learns what the ensemble answers; its twin, which differs in nothing else, learns the labels."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from convscout.search_space.architecture import families
from convscout.search_space.errors import ConvscoutError, UnknownNameError, UserError
from convscout.services.config.home import Home
from convscout.services.ensembles.temperature import temper
from convscout.services.events.events import Event, Loading
from convscout.services.export.formats.bundle import load_bundle
from convscout.services.export.onnx_model import ExportedModel
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies import run as study_run
from convscout.services.studies import session
from convscout.services.studies.distillation import FLATTENING, DistillationConfig, Teacher, distil
from convscout.services.studies.distilled import Distilled, load_distilled
from convscout.services.studies.outcome import OPENINGS_NOTE
from convscout.services.studies.student import SAMPLED, choose_student
from convscout.trials.compute.precision import choose_precision
from convscout.trials.config import TrialConfig
from convscout.trials.data.batches import Batches, TrainingData
from convscout.trials.data.splits import DataSplits
from convscout.trials.evaluation.probabilities import probabilities
from convscout.trials.training.run import Dispatch, TrialRun
from tests.services.cli.test_study import run
from tests.support.studies import bundle_alone, quiet, tiny_config
from tests.support.trained_ensembles import random_images, trained_ensemble

WANTED = DistillationConfig(params=20_000, epochs=2, seeds=2)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    found = Home(tmp_path_factory.mktemp("study"))
    with bundle_alone():
        study_run.search(tiny_config(trials=2), found, quiet, time.time())
    return found


@pytest.fixture(scope="module")
def distilled(home: Home) -> Distilled:
    return distil(home.study("tiny"), WANTED, quiet)


@pytest.fixture(scope="module")
def splits(home: Home) -> DataSplits:
    return session.load_data(Ledger.open(home.study("tiny")).config, home, quiet)


def test_students_and_twins_are_judged_beside_their_teacher(home: Home, distilled: Distilled) -> None:
    assert [row.name for row in distilled.rows] == [
        "ensemble",
        "distilled, seed 1",
        "distilled, seed 2",
        "labels alone, seed 1",
        "labels alone, seed 2",
    ]
    assert all(row.split == "test" for row in distilled.rows)
    for gain, student, twin in zip(distilled.gains, distilled.rows[1:3], distilled.rows[3:], strict=True):
        assert gain.difference == pytest.approx(student.accuracy - twin.accuracy, abs=0.01)
    ledger = Ledger.open(home.study("tiny"))
    assert load_distilled(ledger) == distilled
    assert len(ledger.note(OPENINGS_NOTE) or []) >= 2, "each look at the test images is on record"


def test_the_student_is_exported_alone_and_calibrated(distilled: Distilled, splits: DataSplits) -> None:
    exported = load_bundle(distilled.export)
    (member,) = exported.members
    assert member.temperature != 1 and distilled.params <= WANTED.params
    test = splits.open_test()
    answers = ExportedModel(distilled.export / "model.onnx").probabilities(test.images)
    accuracy = float((answers.argmax(axis=1) == test.labels).mean())
    assert accuracy in [pytest.approx(row.accuracy, abs=1e-9) for row in distilled.rows[1:3]]
    assert exported.metrics["test.accuracy"] == pytest.approx(accuracy)


def test_what_was_trained_before_is_used_again(home: Home, distilled: Distilled) -> None:
    seen: list[Event] = []
    again = distil(home.study("tiny"), WANTED, seen.append)
    assert again.rows == distilled.rows
    counts = [
        (event.done, event.total)
        for event in seen
        if isinstance(event, Loading) and "epochs" in event.description
    ]
    assert counts == [(4, 4), (4, 4)]


def test_it_is_shown_with_the_study(
    home: Home, distilled: Distilled, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("show", "tiny", "--home", home.root) == 0
    shown = capsys.readouterr().out
    assert f"student: lenet, {distilled.params:,} parameters, 2 epochs" in shown
    assert "labels alone, seed 2" in shown
    assert run("show", "tiny", "--home", home.root, "--json") == 0
    assert Distilled.from_dict(json.loads(capsys.readouterr().out)["distilled"]) == distilled


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--max-params", "many", "max_params: must be a whole number"),
        ("--seeds", "0", "seeds: must be"),
        ("--epochs", "-1", "epochs: must be"),
        ("--student", "lenett", "Did you mean 'lenet'"),
        ("--max-params", "10", "raise --max-params"),
    ],
)
def test_bad_wishes_are_refused(
    home: Home, capsys: pytest.CaptureFixture[str], option: str, value: str, said: str
) -> None:
    assert run("distil", "tiny", option, value, "--home", home.root) == 2
    assert said in capsys.readouterr().err


def test_a_study_without_an_ensemble_says_what_to_do(tmp_path: Path) -> None:
    config = tiny_config()
    Ledger.create(Home(tmp_path), config, fingerprint="5e" * 32)
    with pytest.raises(ConvscoutError, match="has no ensemble yet") as caught:
        distil(Home(tmp_path).study("tiny"), WANTED, quiet)
    assert caught.value.next_command == "convscout resume tiny"


def test_the_teacher_answers_as_the_ensemble_does_but_flatter() -> None:
    ensemble = trained_ensemble("vgg", "lenet")
    ensemble.members[0].__dict__["view"] = "plain"
    ensemble.members[1].__dict__["view"] = "plain"
    images = random_images(6, ensemble)
    mean, std = np.array(ensemble.normalization.mean), np.array(ensemble.normalization.std)
    inputs = torch.tensor(((images / 255 - mean) / std).transpose(0, 3, 1, 2), dtype=torch.float32)
    expected = temper(ensemble.build_module().answer(images), FLATTENING)
    teacher = Teacher(ensemble).eval()
    np.testing.assert_allclose(teacher(inputs).numpy(), expected, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


class Contrary(torch.nn.Module):
    """Says of every image that it is of the class after the one that ``inner`` says."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        answers: torch.Tensor = self.inner(images).roll(1, dims=1)
        return answers


def test_a_student_believes_its_teacher_rather_than_the_labels(
    home: Home, splits: DataSplits, tmp_path: Path
) -> None:
    """A teacher that is always wrong makes a student that is, whatever the labels say."""
    ledger = Ledger.open(home.study("tiny"))
    record = max(ledger.trials(), key=lambda each: each.utility)
    assert record.config is not None
    good = load_bundle(home.study("tiny").export)
    teacher = Contrary(Teacher(good))
    data = TrainingData.of(splits)
    device = torch.device("cpu")
    batches = Batches(data.validation, data.normalization, num_classes=10, device=device)
    config = TrialConfig(
        number=0,
        attempt=1,
        dataset=data.fingerprint,
        architecture=families.get("lenet")(width=8),
        recipe=record.config.recipe.with_epochs(6),
        seed=1,
    )
    (tmp_path / "run").mkdir()
    dispatch = Dispatch(config=config, directory=str(tmp_path / "run"), device="cpu", reported=0)
    taught = TrainingData(**{**data.__dict__, "teacher": teacher})
    run = TrialRun(dispatch, taught)
    run._directory.claim(1)
    progress = run.epoch()
    while progress.result is None:
        progress = run.epoch()
    kept = run._directory.load_best()
    assert kept is not None
    student = config.architecture.build(data.image)
    student.load_state_dict(kept.weights)
    said = probabilities(student, batches, choose_precision("float32", device)).numpy().argmax(axis=1)
    told = (good.build_module().answer(data.validation.images).argmax(axis=1) + 1) % 10
    agreement = float((said == told).mean())
    accuracy = float((said == data.validation.labels).mean())
    assert agreement > accuracy + 0.1


class TestChoosing:
    def test_takes_the_best_small_trial(self, home: Home, splits: DataSplits) -> None:
        ledger = Ledger.open(home.study("tiny"))
        records = sorted(ledger.trials(), key=lambda each: -each.utility)
        space = session.study_space(ledger.config, TrainingData.of(splits))
        assert choose_student(records, space, "auto", 10**6).trial == records[0].number
        assert choose_student(records, space, "lenet", 10**6).trial == records[0].number

    def test_a_small_trial_of_a_poor_recipe_is_trained_by_the_best(
        self, home: Home, splits: DataSplits
    ) -> None:
        ledger = Ledger.open(home.study("tiny"))
        space = session.study_space(ledger.config, TrainingData.of(splits))
        best, poor = sorted(ledger.trials(), key=lambda each: -each.utility)[:2]
        assert best.config and poor.config and best.config.recipe != poor.config.recipe
        assert poor.complexity is not None
        large = replace(best, complexity=replace(poor.complexity, params=10**7))
        student = choose_student([large, poor], space, "auto", 10**6)
        assert student.trial == poor.number
        assert student.candidate == (poor.config.architecture, best.config.recipe)

    @pytest.mark.slow
    def test_samples_a_family_that_the_study_did_not_try(self, home: Home, splits: DataSplits) -> None:
        ledger = Ledger.open(home.study("tiny"))
        space = session.study_space(ledger.config, TrainingData.of(splits))
        found = choose_student(ledger.trials(), space, "squeezenet", 100_000)
        assert found.trial is None and found.candidate[0].name == "squeezenet"
        assert 20_000 < found.params <= 100_000
        assert SAMPLED > 100

    def test_says_how_small_the_smallest_is(self, home: Home, splits: DataSplits) -> None:
        ledger = Ledger.open(home.study("tiny"))
        space = session.study_space(ledger.config, TrainingData.of(splits))
        with pytest.raises(
            UserError, match=r"at most 10 parameters: the smallest has [\d,]+; raise --max-params"
        ):
            choose_student(ledger.trials(), space, "auto", 10)
        with pytest.raises(UnknownNameError, match="lenett"):
            choose_student(ledger.trials(), space, "lenett", 10)
