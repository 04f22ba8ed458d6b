"""What `import convscout` offers: the command line's work, from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import convscout
from convscout.search_space.errors import StudyExistsError, StudyNotFoundError
from convscout.services.config.home import Home
from convscout.services.events.events import Event, Loading
from convscout.services.studies.session import load_data
from convscout.trials.data.splits import LabelledImages
from tests.support.studies import TINY_SPACE, blank_pictures, bundle_alone, quiet

TINY: dict[str, Any] = dict(
    families=("lenet",),
    executor="in-process",
    threads=1,
    sampler="random",
    pruner="none",
    epochs=2,
    space=TINY_SPACE,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def study(home: Path) -> convscout.Study:
    with blank_pictures():
        return convscout.search("digits", "mine", trials=2, home=home, listener=quiet, **TINY)


@pytest.fixture(scope="module")
def test_images(study: convscout.Study, home: Path) -> LabelledImages:
    return load_data(study.config, Home.at(home), quiet).open_test()


@pytest.fixture
def pictures(test_images: LabelledImages, tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, pixels in zip(paths, test_images.images, strict=False):
        Image.fromarray(pixels.squeeze()).save(path)
    return paths


def test_trials_are_a_frame_with_the_best_first(study: convscout.Study) -> None:
    frame = study.trials
    assert list(frame["state"]) == ["completed"] * 2
    assert list(frame["score"]) == sorted(frame["score"], reverse=True)
    assert set(frame["lenet.width"]) == {4} and (frame["complexity.params"] > 0).all()
    curves = study.curves
    assert len(curves) == 4 and set(curves["epoch"]) == {1, 2}


def test_the_ensemble_answers_as_it_was_judged(study: convscout.Study, test_images: LabelledImages) -> None:
    answers = study.predict(test_images.images)
    assert answers.shape == (len(test_images.labels), 10)
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    accuracy = float((answers.argmax(axis=1) == test_images.labels).mean())
    assert study.outcome is not None
    assert accuracy in [pytest.approx(row.accuracy, abs=1e-9) for row in study.outcome.report]


def test_files_are_predicted_and_explained(
    study: convscout.Study, pictures: list[Path], tmp_path: Path
) -> None:
    found = convscout.predict(study.directory, [tmp_path], top=2)
    assert [Path(each.path).name for each in found] == ["0.png", "1.png", "2.png"]
    written = convscout.explain(
        study.directory, pictures[:1], tmp_path / "seen", methods=["saliency"], members=0, listener=quiet
    )
    assert [Path(each.path) for each in written.explanations] == pictures[:1]
    assert all((tmp_path / "seen" / name).stat().st_size > 0 for name in written.all_files)


@pytest.mark.slow
def test_a_student_is_distilled_where_one_wants_it(study: convscout.Study, tmp_path: Path) -> None:
    events: list[Event] = []
    found = study.distil(tmp_path / "small", params=20_000, epochs=1, twins=False, listener=events.append)
    assert found.export == tmp_path / "small" and (found.export / "model.onnx").is_file()
    assert found.params <= 20_000 and any(isinstance(event, Loading) for event in events)


def test_the_export_is_written_once_more(study: convscout.Study, tmp_path: Path) -> None:
    assert study.export(tmp_path / "again") == tmp_path / "again"
    again = (tmp_path / "again" / "model.onnx").read_bytes()
    assert again == (study.directory / "model.onnx").read_bytes()


@pytest.mark.slow
@bundle_alone()
def test_a_study_goes_on_and_is_found_again(study: convscout.Study, home: Path) -> None:
    with pytest.raises(StudyExistsError):
        convscout.search("digits", "mine", trials=1, home=home, listener=quiet, **TINY)
    assert len(convscout.resume("mine", trials="+1", home=home, listener=quiet).trials) == 3
    assert len(convscout.load_study("mine", home=home).trials) == 3
    with pytest.raises(StudyNotFoundError, match="mine"):
        convscout.load_study("yours", home=home)
