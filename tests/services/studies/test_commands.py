"""A study can be paused, given more, handed trials and let its stopped ones go on, whether it runs or not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convscout.search_space.errors import ConfigError, StudyInterrupted, UserError
from convscout.services.config.home import Home
from convscout.services.events.events import EpochEnded, Event, Listener, Notice, TrialEnded
from convscout.services.ledger.ledger import Ledger
from convscout.services.ledger.provenance import CODE_NOTE, code_version, difference
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.search.command_queue import CHANGE, ENQUEUE, PAUSE, RETRY, Command, CommandQueue
from convscout.services.studies import commands as steering
from convscout.services.studies import run, session
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.config import TrialState
from tests.support.studies import bundle_alone, essence, essences, quiet, tiny_config

# Random networks and rates on digits, so that some are stopped; the same ones whatever stops them.
VARIED: dict[str, Any] = {
    "trials": 8,
    "epochs": 9,
    "pruner": "asha",
    "fair": "none",
    "portfolio": False,
    "space": {"lenet.width": 4, "recipe.batch_size": 256, "recipe.optimizer": "sgd"},
}


def _search(home: Path, listener: Listener = quiet, **options: Any) -> Ledger:
    with bundle_alone():
        run.search(tiny_config(**options), Home(home), listener, time.time())
    return Ledger.open(Home(home).study("tiny"))


def _resume(home: Path, listener: Listener = quiet, **options: Any) -> Ledger:
    with bundle_alone():
        run.resume(Home(home).study("tiny"), listener, time.time(), **options)
    return Ledger.open(Home(home).study("tiny"))


def _asking(home: Path, message: Command, *, after: int) -> Listener:
    """A listener that leaves ``message`` when so many epochs have ended."""
    seen = 0

    def listen(event: Event) -> None:
        nonlocal seen
        seen += isinstance(event, EpochEnded)
        if seen == after:
            CommandQueue(Home(home).study("tiny")).put(message)
            seen += 1

    return listen


def _stopped(ledger: Ledger) -> list[TrialRecord]:
    return [record for record in ledger.trials() if record.state is TrialState.STOPPED]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    home = tmp_path_factory.mktemp("home")
    _search(home)
    return essences(home, "tiny")


@pytest.fixture(scope="module")
def unstopped(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    home = tmp_path_factory.mktemp("home")
    _search(home, **{**VARIED, "pruner": "none"})
    return essences(home, "tiny")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A study of one trial, to be looked at and refused."""
    home = tmp_path_factory.mktemp("home")
    _search(home, trials=1)
    return Home(home)


@pytest.mark.slow
def test_a_pause_ends_the_epoch_and_a_resume_goes_on(
    tmp_path: Path, uninterrupted: list[tuple[object, ...]]
) -> None:
    with pytest.raises(StudyInterrupted) as caught:
        _search(tmp_path, _asking(tmp_path, Command(kind=PAUSE), after=3))
    assert caught.value.message == "study 'tiny' is paused; every trial has ended its epoch"
    assert caught.value.next_command == "convscout resume tiny"
    paused = Ledger.open(Home(tmp_path).study("tiny")).trial(1)
    assert paused.state is TrialState.RUNNING and len(paused.measurements) == 1
    _resume(tmp_path)
    assert essences(tmp_path, "tiny") == uninterrupted


@pytest.mark.slow
def test_a_pause_of_an_earlier_run_is_forgotten(tmp_path: Path) -> None:
    _search(tmp_path, trials=1)
    CommandQueue(Home(tmp_path).study("tiny")).put(Command(kind=PAUSE))
    assert len(_resume(tmp_path, changes={"trials": 2}).trials()) == 2


@pytest.mark.slow
def test_a_running_study_takes_more_trials_and_another_family(tmp_path: Path) -> None:
    told: list[Event] = []
    change = Command(kind=CHANGE, content={"trials": 4, "families": ["lenet", "mlp"]})
    asking = _asking(tmp_path, change, after=1)

    def listen(event: Event) -> None:
        told.append(event)
        asking(event)

    ledger = _search(tmp_path, listen, trials=2, sampler="tpe")
    trained = [record for record in ledger.trials() if record.trained]
    assert len(trained) == 4 and trained[1].family == "mlp"  # its proven network comes first
    assert ledger.config.families == ("lenet", "mlp") and ledger.config.trials == 4
    assert any(isinstance(event, Notice) and event.text.startswith("changed: ") for event in told)


@pytest.mark.slow
def test_what_cannot_change_while_it_runs_is_refused(searched: Home) -> None:
    with pytest.raises(ConfigError) as caught:
        steering.change(searched.study("tiny"), {"workers": 4})
    assert "first type: convscout stop tiny" in caught.value.message
    assert not CommandQueue(searched.study("tiny"))


@pytest.mark.slow
def test_a_trial_made_by_hand_is_the_next(tmp_path: Path) -> None:
    _search(tmp_path, trials=1)
    space = session.space_of(Home(tmp_path).study("tiny"), quiet)
    settings = {"lenet.depth": 2, "recipe.optimizer": "sgd", "sgd.learning_rate": 0.05}
    parameters = steering.enqueue(Home(tmp_path).study("tiny"), settings, space)
    assert settings.items() <= parameters.items()
    config = _resume(tmp_path, changes={"trials": "+1"}).trial(1).config
    assert config is not None and settings.items() <= config.flat().items()


@pytest.mark.slow
def test_a_knob_fixed_in_one_family_leaves_the_others_to_be_queued(tmp_path: Path) -> None:
    space = {"lenet.width": 4, "mlp.width": 32, "recipe.batch_size": 256}
    _search(tmp_path, trials=1, families=("lenet", "mlp"), space=space)
    searched = session.space_of(Home(tmp_path).study("tiny"), quiet)
    parameters = steering.enqueue(Home(tmp_path).study("tiny"), {"family": "mlp", "mlp.depth": 2}, searched)
    assert {"family": "mlp", "mlp.depth": 2}.items() <= parameters.items()


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"family": "vgg"}, "must be one of the study's families: lenet"),
        ({"lenet.width": 8}, "is not sampled by this study"),
        ({"lenet.depth": 6}, "must be in what this study samples: 2 … 4"),
        ({"adamw.beta2": 0.95, "recipe.optimizer": "sgd"}, "must be the full name of a knob"),
        ({"lenet.dpth": 3}, "did you mean 'lenet.depth'?"),
    ],
)
def test_a_trial_that_the_study_does_not_sample_is_refused(
    settings: dict[str, Any], rule: str, searched: Home
) -> None:
    space = session.space_of(searched.study("tiny"), quiet)
    with pytest.raises(ConfigError, match=r".") as caught:
        steering.enqueue(searched.study("tiny"), settings, space)
    assert rule in caught.value.message


@pytest.mark.slow
def test_a_queued_trial_reaches_a_running_study(tmp_path: Path, searched: Home) -> None:
    space = session.space_of(searched.study("tiny"), quiet)
    parameters = space.parameters(space.portfolio()[0]) | {"lenet.depth": 2}
    ledger = _search(tmp_path, _asking(tmp_path, Command(kind=ENQUEUE, content=parameters), after=1))
    config = ledger.trial(1).config
    assert config is not None and config.flat()["lenet.depth"] == 2


@pytest.mark.slow
def test_a_stopped_trial_goes_on_from_its_checkpoint_to_the_same_end(
    tmp_path: Path, unstopped: list[tuple[object, ...]]
) -> None:
    stopped = _stopped(_search(tmp_path, **VARIED))
    assert stopped
    number = stopped[0].number
    steering.retry(Home(tmp_path).study("tiny"), number)
    revived = _resume(tmp_path).trial(number)
    assert (revived.state, revived.attempt, revived.reopened) == (TrialState.COMPLETED, 2, 1)
    assert essence(revived) == unstopped[number]


@pytest.mark.slow
def test_a_running_study_lets_a_stopped_trial_go_on(
    tmp_path: Path, unstopped: list[tuple[object, ...]]
) -> None:
    asked: list[int] = []

    def listen(event: Event) -> None:
        if isinstance(event, TrialEnded) and event.trial.state is TrialState.STOPPED and not asked:
            asked.append(event.trial.number)
            CommandQueue(Home(tmp_path).study("tiny")).put(
                Command(kind=RETRY, content={"number": event.trial.number})
            )

    ledger = _search(tmp_path, listen, **VARIED)
    [number] = asked
    assert essence(ledger.trial(number)) == unstopped[number]


def test_a_completed_trial_cannot_go_on(searched: Home) -> None:
    with pytest.raises(
        UserError, match="trial 0 of study 'tiny' is completed; only a trial that was stopped or"
    ):
        steering.retry(searched.study("tiny"), 0)
    with pytest.raises(UserError, match="has no trial 7"):
        steering.retry(searched.study("tiny"), 7)
    with pytest.raises(UserError, match="is not running; there is nothing to pause"):
        steering.pause(searched.study("tiny"))


@pytest.mark.slow
def test_epochs_that_are_left_over_go_to_the_best_stopped_trial(tmp_path: Path) -> None:
    ledger = _search(tmp_path, **{**VARIED, "trials": None, "epochs_total": 60})
    records = [record for record in ledger.trials() if record.trained]
    assert sum(len(record.measurements) for record in records) <= 60
    revived = [record for record in records if record.reopened]
    assert revived and all(record.state is TrialState.COMPLETED for record in revived)
    assert sum(len(record.measurements) for record in records) > 60 - 9  # nothing to speak of is left


@pytest.mark.slow
def test_a_target_ends_the_search_at_once(tmp_path: Path) -> None:
    told: list[Event] = []
    ledger = _search(tmp_path, told.append, trials=50, target_accuracy=0.2)
    assert ledger.trials()[-1].reason.startswith("the target accuracy of 20.00% is reached") or (
        ledger.trials()[-1].state is TrialState.COMPLETED
    )
    assert len(ledger.trials()) < 10
    assert any(isinstance(event, Notice) and "the search ends: the target" in event.text for event in told)


@pytest.mark.slow
def test_a_small_disk_ends_the_search_with_what_fits(tmp_path: Path) -> None:
    told: list[Event] = []
    options = {"space": {**VARIED["space"], "lenet.width": 24}, "trials": 6}
    ledger = _search(tmp_path, told.append, **{**VARIED, **options}, disk="8MB", ensemble_size=1)
    kept = sum(TrialDirectory(ledger.ref.trial(record.number)).num_bytes for record in ledger.trials())
    assert 0 < kept <= 8e6


@pytest.mark.slow
def test_other_code_is_noticed(tmp_path: Path) -> None:
    ledger = _search(tmp_path, trials=1)
    before = {**code_version(), "torch": "2.0.0", "trials/gone.py": "0" * 12}
    ledger.set_note(CODE_NOTE, before)
    with pytest.raises(ConfigError) as caught:
        _resume(tmp_path, changes={"trials": 2})
    [problem] = caught.value.problems
    assert (
        problem.field == "code"
        and "trials/gone.py is gone" in problem.rule
        and "torch 2.0.0 →" in problem.rule
    )
    assert "--accept-changes" in problem.rule
    assert len(_resume(tmp_path, changes={"trials": 2}, accept_changes=True).trials()) == 2
    assert not difference(Ledger.open(Home(tmp_path).study("tiny")).note(CODE_NOTE) or {}, code_version())


@pytest.mark.slow
def test_other_images_are_refused_or_leave_the_ensemble(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 3
    images = (
        rng.integers(0, 80, (240, 8, 8, 1), dtype=np.uint8)
        + (labels * 80).astype(np.uint8)[:, None, None, None]
    )

    def save(pixels: np.ndarray[Any, Any]) -> None:
        parts = {"train": slice(0, 180), "test": slice(180, 240)}
        arrays = {f"x_{name}": pixels[part] for name, part in parts.items()}
        np.savez(
            tmp_path / "images.npz", **arrays, **{f"y_{name}": labels[part] for name, part in parts.items()}
        )

    save(images)
    _search(tmp_path, data=f"npz:{tmp_path / 'images.npz'}", trials=1)
    save(images // 2)
    with pytest.raises(ConfigError, match="--accept-changes, which keeps earlier trials for the sampler"):
        _resume(tmp_path, changes={"trials": 2})
    outcome = run.resume(
        Home(tmp_path).study("tiny"), quiet, time.time(), changes={"trials": 2}, accept_changes=True
    )
    assert {member.number for member in outcome.ensemble.members} == {1}
