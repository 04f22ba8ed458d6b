"""A real study with scouts, contenders and a control: what it leaves everywhere that a person looks."""

from __future__ import annotations

import time

import pytest
from typer.testing import CliRunner

from convscout.services.cli.app import app
from convscout.services.config.home import Home
from convscout.services.events.events import Event
from convscout.services.events.facts import facts_of, kind_of
from convscout.services.events.wording import event_text
from convscout.services.ledger.ledger import Ledger
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.studies import run
from convscout.services.studies.outcome import Outcome, load_outcome
from convscout.services.tracking.store import TrackingStore
from convscout.trials.config import TrialPhase
from tests.support.studies import bundle_alone, tiny_config


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, list[Event]]:
    home, told = Home(tmp_path_factory.mktemp("home")), list[Event]()
    config = tiny_config(trials=6, epochs=16, scouts=3, contenders=3, control=True)
    with bundle_alone():
        run.search(config, home, told.append, time.time())
    return home, told


@pytest.fixture
def home(searched: tuple[Home, list[Event]]) -> Home:
    return searched[0]


@pytest.fixture
def told(searched: tuple[Home, list[Event]]) -> list[Event]:
    return searched[1]


@pytest.fixture
def trials(home: Home) -> list[TrialRecord]:
    return Ledger.open(home.study("tiny")).trials()


def test_the_control_comes_first_then_scouts_then_the_best_of_them(trials: list[TrialRecord]) -> None:
    control, *scouts, first, second = trials
    assert control.phase is TrialPhase.CONTROL
    assert [each.phase for each in scouts] == [TrialPhase.SCOUT] * 3
    assert [each.planned_epochs for each in trials] == [16, 2, 2, 2, 16, 16]
    best = sorted(scouts, key=lambda each: -each.utility)
    assert [first.grown_from, second.grown_from] == [best[0].number, best[1].number]


def test_a_contender_begins_anew_with_its_own_seed(trials: list[TrialRecord]) -> None:
    *_, contender, _ = trials
    assert contender.config and contender.grown_from is not None
    scout = trials[contender.grown_from].config
    assert scout and contender.config.seed != scout.seed
    assert contender.measurements[0].epoch == 1


def test_what_the_ensemble_gains_over_the_control_is_told(home: Home) -> None:
    outcome = load_outcome(Ledger.open(home.study("tiny")))
    assert outcome and outcome.control_gain
    right = outcome.score("ensemble", "test") - outcome.score("control", "test")
    assert outcome.control_gain.difference == pytest.approx(right)
    assert Outcome.from_dict(outcome.to_dict()) == outcome
    shown = CliRunner().invoke(app, ["show", "tiny", "--home", str(home.root)]).output
    assert "points over the control on the test images" in shown


def test_the_table_of_trials_says_what_each_is(home: Home) -> None:
    shown = CliRunner().invoke(app, ["trials", "tiny", "--home", str(home.root)]).output
    assert shown.count("lenet (scout)") == 3
    assert shown.count("lenet (control)") == 1
    assert shown.count("lenet (from scout") == 2


def test_mlflow_knows_scouts_and_what_grew_from_them(home: Home, trials: list[TrialRecord]) -> None:
    store = TrackingStore.at(home)
    client = store.client()
    runs = client.search_runs([each.experiment_id for each in client.search_experiments()])
    params = [each.data.params for each in runs]
    assert sum(each.get("phase") == "scout" for each in params) == 3
    assert sum(each.get("phase") == "control" for each in params) == 1
    grown = {int(each["grown_from"]) for each in params if "grown_from" in each}
    assert grown == {each.grown_from for each in trials if each.grown_from is not None}


def test_the_plan_and_each_part_are_told(told: list[Event]) -> None:
    texts = [event_text(kind_of(event), facts_of(event)) for event in told]
    assert any("3 scouts, of 2 epochs; then 3 contenders, trained in full" in text for text in texts)
    assert "note: scouting is over: the best of 3 are trained in full now" in texts
    assert any("started: lenet (scout)" in text for text in texts)
    assert any("completed: lenet (from scout" in text for text in texts)
