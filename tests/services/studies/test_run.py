"""The search keeps its budget, rejects what is too dear, and goes on after an interruption as if there was none."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.errors import (
    ConfigError,
    ConvscoutError,
    DataError,
    NoModelError,
    StudyExistsError,
    StudyInterrupted,
    StudyLockedError,
)
from convscout.search_space.space import SearchSpace
from convscout.services.config.home import Home
from convscout.services.events.events import EpochEnded, Event, Listener, Notice, TrialEnded, TrialStarted
from convscout.services.events.wording import sentence
from convscout.services.export.formats.bundle import load_bundle
from convscout.services.export.onnx_model import MODEL_FILE, ExportedModel
from convscout.services.export.parity import Parity
from convscout.services.ledger.lease import lease
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies import results, run, session
from convscout.services.studies.check import check
from convscout.services.studies.outcome import OPENINGS_NOTE, Outcome, load_outcome
from convscout.services.tracking.source import DESCRIPTION_NOTE, OutcomeMetrics
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.config import TrialState
from convscout.trials.end_reason import EndReason
from convscout.trials.evaluation.metrics import accuracy
from tests.support.image_trees import write_class
from tests.support.studies import blank_pictures, bundle_alone, essences, quiet, tiny_config


def _search(home: Path, listener: Any = quiet, **options: Any) -> Outcome:
    return run.search(tiny_config(**options), Home(home), listener, time.time())


def _resume(home: Path, **changes: Any) -> Outcome:
    return run.resume(Home(home).study("tiny"), quiet, time.time(), changes=changes)


def _ctrl_c_after(epochs: int) -> Listener:
    """A listener that presses Ctrl-C when so many epochs have ended."""
    seen = 0

    def press_ctrl_c(event: Event) -> None:
        nonlocal seen
        seen += isinstance(event, EpochEnded)
        if seen == epochs:
            os.kill(os.getpid(), signal.SIGINT)
            seen += 1

    return press_ctrl_c


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a study that ran to its end."""
    home = tmp_path_factory.mktemp("finished")
    with blank_pictures():
        _search(home)
    return home


def test_a_search_ends_with_a_tested_exported_ensemble(finished: Path) -> None:
    ledger = Ledger.open(Home(finished).study("tiny"))
    outcome = load_outcome(ledger)
    assert outcome is not None
    assert [record.state for record in ledger.trials()] == [TrialState.COMPLETED] * 3
    assert outcome.state_counts == {"completed": 3}
    assert [(row.name, row.split) for row in outcome.report] == [
        ("best single", "validation"),
        ("ensemble", "validation"),
        ("ensemble", "test"),
        ("best single", "test"),
        *([("top-k mean", "test")] if len(outcome.ensemble.members) > 1 else []),
    ]
    assert all(row.params and row.latency_s for row in outcome.report if row.split == "test")
    assert outcome.score("ensemble", "validation") >= outcome.score("best single", "validation")
    assert all(row.low < row.accuracy < row.high for row in outcome.report)
    assert {path.name for path in outcome.export.iterdir()} >= {"model.onnx", "config.json", "SHA256SUMS"}
    assert len(ledger.note(OPENINGS_NOTE) or []) == 1


def test_a_search_tells_what_its_best_trial_is_worth_beyond_the_images_it_was_chosen_by(
    finished: Path,
) -> None:
    ledger = Ledger.open(Home(finished).study("tiny"))
    outcome = load_outcome(ledger)
    assert outcome is not None and outcome.winner is not None
    row = outcome.row("best single", "validation")
    assert (outcome.winner.objective, outcome.winner.trials, outcome.winner.images) == (
        "accuracy",
        3,
        row.images,
    )
    assert outcome.winner.score.low < row.accuracy < outcome.winner.score.high
    assert outcome.winner.first == (None if outcome.best == 0 else 0)
    card, told = (outcome.export / "README.md").read_text(), OutcomeMetrics.of(ledger)
    assert f"| validation.best_single.accuracy_corrected | {outcome.winner.score.value:.4f} |" in card
    assert told is not None
    assert told.values["best_single.validation_accuracy_corrected"] == outcome.winner.score.value
    assert sentence(outcome.corrections[0]) in (ledger.note(DESCRIPTION_NOTE) or "")


def test_the_outcome_of_an_earlier_version_is_read_as_it_was(finished: Path) -> None:
    ledger = Ledger.open(Home(finished).study("tiny"))
    outcome = load_outcome(ledger)
    assert outcome is not None
    note = outcome.to_note(ledger.ref)
    del note["winner"], note["ensemble"]["unseen"]
    earlier = Outcome.from_note(note, ledger.ref)
    assert earlier == replace(outcome, winner=None)
    assert earlier.corrections == earlier.correction_figures == []


def test_the_export_answers_as_torch_does_on_every_test_image(finished: Path) -> None:
    ledger = Ledger.open(Home(finished).study("tiny"))
    outcome = load_outcome(ledger)
    assert outcome is not None
    test = session.load_data(ledger.config, ledger.home, quiet).open_test()
    with torch.inference_mode():
        expected = load_bundle(outcome.export).build_module()(torch.from_numpy(test.images)).numpy()
    answers = ExportedModel(outcome.export / MODEL_FILE).probabilities(test.images)
    assert Parity.of([test.images], answers, expected).passed
    assert accuracy(expected, test.labels) == outcome.score("ensemble", "test")


def test_resuming_a_finished_study_changes_nothing_and_leaves_the_test_split_closed(finished: Path) -> None:
    before = essences(finished, "tiny")
    outcome = _resume(finished)
    ledger = Ledger.open(Home(finished).study("tiny"))
    assert outcome == load_outcome(ledger)
    assert essences(finished, "tiny") == before
    assert len(ledger.note(OPENINGS_NOTE) or []) == 1


@pytest.mark.slow
@bundle_alone()
def test_the_same_seed_gives_the_same_study(finished: Path, tmp_path: Path) -> None:
    _search(tmp_path)
    assert essences(tmp_path, "tiny") == essences(finished, "tiny")


@pytest.mark.slow
@pytest.mark.parametrize("epochs_seen", [1, 3])
@bundle_alone()
def test_an_interrupted_study_resumes_to_the_same_end(
    finished: Path, tmp_path: Path, epochs_seen: int
) -> None:
    with pytest.raises(StudyInterrupted) as caught:
        _search(tmp_path, _ctrl_c_after(epochs_seen))
    assert caught.value.exit_code == 130
    assert caught.value.next_command == "convscout resume tiny"
    _resume(tmp_path)
    assert essences(tmp_path, "tiny") == essences(finished, "tiny")


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "auto"])
@bundle_alone()
def test_a_deterministic_study_ends_in_the_same_bits_when_it_is_interrupted(
    tmp_path: Path, precision: str
) -> None:
    options = dict(deterministic=True, threads=None, precision=precision, trials=1, epochs=3)
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    _search(straight, **options)
    with pytest.raises(StudyInterrupted):
        _search(broken, _ctrl_c_after(1), **options)
    _resume(broken)
    assert Ledger.open(Home(broken).study("tiny")).config.threads == 1
    assert essences(broken, "tiny") == essences(straight, "tiny")
    ours, theirs = (
        TrialDirectory(Home(home).study("tiny").trial(0)).load_best() for home in (broken, straight)
    )
    assert ours is not None and theirs is not None
    assert torch.equal(ours.probabilities, theirs.probabilities)
    assert all(torch.equal(ours.weights[name], value) for name, value in theirs.weights.items())


@pytest.mark.slow
@bundle_alone()
def test_the_portfolio_comes_first_and_strongest_first(tmp_path: Path) -> None:
    started = []

    def note(event: Event) -> None:
        if isinstance(event, TrialStarted):
            started.append(event.trial)

    _search(tmp_path, note, families=("lenet", "vgg"), space={}, trials=2, epochs=1, workers=1)
    assert families.get("vgg").strength > families.get("lenet").strength
    assert [trial.family for trial in started] == ["vgg", "lenet"]


@pytest.mark.slow
@bundle_alone()
def test_candidates_over_a_limit_are_rejected_before_training(tmp_path: Path) -> None:
    limits = dict(families=("lenet", "vgg"), space={}, max_params=30_000)
    outcome = _search(tmp_path, **limits, trials=2, epochs=1, portfolio=False)
    records = Ledger.open(Home(tmp_path).study("tiny")).trials()
    trained = [record for record in records if record.trained]
    assert len(trained) == 2
    assert all(record.complexity is not None and record.complexity.params <= 30_000 for record in trained)
    rejected = [record for record in records if record.state is TrialState.REJECTED]
    assert outcome.state_counts.get("rejected", 0) == len(rejected)
    assert all("params" in record.reason and not record.measurements for record in rejected)
    assert {record.reason_code for record in rejected} <= {EndReason.LIMIT_EXCEEDED}


@pytest.mark.slow
@bundle_alone()
def test_every_limit_reaches_the_search(tmp_path: Path) -> None:
    limits = {"max_flops": "2M", "max_memory": "40MB", "max_latency": "10s"}
    _search(tmp_path, families=("lenet", "vgg"), space={}, trials=2, epochs=1, portfolio=False, **limits)
    for record in Ledger.open(Home(tmp_path).study("tiny")).trials():
        if record.trained:
            assert record.complexity is not None
            assert record.complexity.flops <= 2_000_000
            assert record.complexity.peak_train_bytes <= 40_000_000
        else:
            assert "max_flops" in record.reason or "max_memory" in record.reason


@pytest.mark.slow
def test_a_network_that_takes_too_long_for_an_image_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convscout.services.search.controller.MAX_REJECTIONS", 3)
    with pytest.raises(ConvscoutError, match=r"s for an image exceed max_latency = 1e-05"):
        _search(tmp_path, max_latency="0.01ms")


def _two_configurations() -> dict[str, Any]:
    """Every knob of LeNet and the recipe pinned, but for two widths."""
    image = ImageSpec(in_channels=1, image_size=8, num_classes=10)
    parts = {"recipe.optimizer": "sgd", "recipe.augmentation": "none", "recipe.distortion": "none"}
    knobs = SearchSpace(image=image, families=("lenet",), overrides=parts).knobs()
    return {name: knob.default for name, knob in knobs.items()} | {"lenet.width": {"choices": [4, 5]}}


@pytest.mark.slow
@bundle_alone()
def test_a_configuration_is_trained_once_and_an_exhausted_space_ends_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convscout.services.search.controller.MAX_REJECTIONS", 10)
    notices = []

    def note(event: Event) -> None:
        if isinstance(event, Notice):
            notices.append(event.text)

    outcome = _search(tmp_path, note, trials=5, epochs=1, space=_two_configurations())
    assert outcome.state_counts["completed"] == 2
    records = Ledger.open(Home(tmp_path).study("tiny")).trials()
    refused = {(record.reason, record.reason_code) for record in records if not record.trained}
    assert refused == {("this configuration was trained once already", EndReason.DUPLICATE)}
    assert any("no more are proposed" in text for text in notices)


@pytest.mark.slow
@bundle_alone()
def test_repeats_train_each_configuration_by_several_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convscout.services.search.controller.MAX_REJECTIONS", 10)
    options = dict(trials=9, epochs=1, repeats=3, space=_two_configurations())
    with pytest.raises(StudyInterrupted):
        _search(tmp_path, _ctrl_c_after(2), **options)
    _resume(tmp_path)
    trained = [record for record in Ledger.open(Home(tmp_path).study("tiny")).trials() if record.trained]
    widths = Counter(record.config.architecture.width for record in trained)
    assert widths == {4: 3, 5: 3}
    assert len({record.config.seed for record in trained}) == 6


def test_a_limit_that_nothing_meets_is_said_with_one_that_is_met(tmp_path: Path) -> None:
    with pytest.raises(
        NoModelError, match=r"candidates were all rejected, the last because .*params"
    ) as ended:
        _search(tmp_path, max_params=1)
    following = ended.value.next_command.removeprefix("convscout resume tiny --max-params ")
    assert following.isdigit(), ended.value.next_command
    with bundle_alone():
        assert _resume(tmp_path, max_params=following, trials=1).state_counts["completed"] == 1


@pytest.mark.parametrize("time_s", ["1s", "3s"])
def test_a_time_that_is_up_before_the_images_are_read_trains_one_network_briefly(
    time_s: str, tmp_path: Path
) -> None:
    config = tiny_config(trials=None, time=time_s, epochs=None)
    with bundle_alone():
        outcome = run.search(config, Home(tmp_path), quiet, time.time() - 10)
    assert outcome.state_counts == {"completed": 1}


def test_a_trial_that_is_added_is_trained_though_fewer_were_asked_for_meanwhile(tmp_path: Path) -> None:
    """``--trials 1`` on a study that has trained two, and then ``+1``."""
    with bundle_alone():
        _search(tmp_path, trials=2, epochs=1)
        assert _resume(tmp_path, trials=1).state_counts == {"completed": 2}
        assert _resume(tmp_path, trials="+1").state_counts == {"completed": 3}


@pytest.mark.slow
@bundle_alone()
def test_a_diverging_trial_fails_with_its_reason_and_is_never_best(tmp_path: Path) -> None:
    ended = []

    def note(event: Event) -> None:
        if isinstance(event, TrialEnded):
            ended.append(event.trial)

    space = {"lenet.width": 4, "recipe.optimizer": "sgd", "sgd.learning_rate": {"choices": [1e8, 0.05]}}
    outcome = _search(tmp_path, note, trials=6, epochs=1, space=space, portfolio=False)
    failed = [trial for trial in ended if trial.state is TrialState.FAILED]
    assert failed, "the planted learning rate was never drawn"
    assert all("loss became" in trial.reason for trial in failed)
    assert {trial.reason_code for trial in failed} == {EndReason.DIVERGED}
    numbers = {trial.number for trial in failed}
    assert outcome.best not in numbers
    assert not numbers & {member.number for member in outcome.ensemble.members}


@pytest.mark.slow
def test_time_is_a_promise_for_the_whole_command(tmp_path: Path) -> None:
    """By the clock, with patience for a busy machine; by a simulated one in ``test_plan_table.py``."""
    began = time.time()
    _search(tmp_path, trials=None, time="40s", epochs=40)
    assert time.time() - began < 40 + 15
    records = Ledger.open(Home(tmp_path).study("tiny")).trials()
    assert all(record.state is not TrialState.RUNNING for record in records)


@pytest.mark.slow
@bundle_alone()
def test_a_resume_can_grant_more_trials(finished: Path, tmp_path: Path) -> None:
    _search(tmp_path, trials=2)
    _resume(tmp_path, trials=3)
    assert essences(tmp_path, "tiny") == essences(finished, "tiny")


def test_a_taken_name_and_a_running_study_are_refused(finished: Path) -> None:
    before = essences(finished, "tiny")
    with pytest.raises(StudyExistsError, match="'tiny' exists already"):
        _search(finished)
    with lease(Home(finished).study("tiny")), pytest.raises(StudyLockedError):
        _resume(finished)
    assert essences(finished, "tiny") == before


@pytest.mark.slow
@bundle_alone()
def test_data_may_move_but_what_it_means_may_not_change(tmp_path: Path) -> None:
    home, before, after = tmp_path / "home", tmp_path / "pictures", tmp_path / "elsewhere" / "pictures"
    for seed, name in enumerate(("cat", "dog", "eel")):
        write_class(before / name, count=20, seed=seed)
    _search(home, data=f"folder:{before}", trials=1, epochs=1)
    after.parent.mkdir()
    before.rename(after)
    with pytest.raises(DataError, match="pictures") as raised:
        _resume(home, trials=2)
    assert raised.value.next_command == "convscout resume tiny --data folder:PATH"
    _resume(home, trials=2, data=f"folder:{after}")
    ledger = Ledger.open(Home(home).study("tiny"))
    assert ledger.config.data == f"folder:{after}"
    assert {record.config.dataset for record in ledger.trials() if record.config} == {ledger.fingerprint}
    results.sync(ledger.ref, quiet)
    assert check(ledger.ref) == []
    (after / "convscout.toml").write_text("symmetries = []")  # mirrored looks are known to be wrong now
    with pytest.raises(ConfigError, match="must still be what study 'tiny' began with"):
        _resume(home, trials=3)
    with pytest.raises(ConfigError, match="must still be what study 'tiny' began with"):
        _resume(home, trials=3, data="digits")
    assert Ledger.open(ledger.ref).config == ledger.config
