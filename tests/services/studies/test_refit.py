"""Refitting trains the members again on all images that they may learn from, and goes on after an interruption."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from convscout.search_space.errors import StudyInterrupted
from convscout.services.config.home import Home
from convscout.services.ensembles.ensemble import Ensemble, EnsembleMember, Score
from convscout.services.ensembles.networks import network, refit_directory
from convscout.services.events.events import Event, Loading
from convscout.services.executors.placement import Placement
from convscout.services.export.formats.bundle import load_bundle
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies import run, session
from convscout.services.studies.extra_trainings import Training, train
from convscout.services.studies.outcome import Outcome, load_outcome
from convscout.services.studies.refit import refit, refit_data, refit_trainings
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.config import Measurement
from convscout.trials.data.batches import TrainingData
from tests.support.digits import digits, dispatch
from tests.support.studies import bundle_alone, quiet, tiny_config


def _search(home: Path, **options: object) -> Outcome:
    config = tiny_config(refit=True, refit_seeds=2, epochs=3, **options)
    with bundle_alone():
        return run.search(config, Home(home), quiet, time.time())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    path = tmp_path_factory.mktemp("refitted")
    _search(path)
    return Home(path)


@pytest.fixture
def outcome(home: Home) -> Outcome:
    found = load_outcome(Ledger.open(home.study("tiny")))
    assert found is not None
    return found


def test_each_member_gives_way_to_the_networks_that_were_trained_for_it(outcome: Outcome) -> None:
    assert outcome.selected is not None
    before, after = dict[int, float](), dict[int, float]()
    for member in outcome.selected.members:
        before[member.number] = before.get(member.number, 0) + member.weight
    for member in outcome.ensemble.members:
        assert member.network in ("refit-1", "refit-2")
        after[member.number] = after.get(member.number, 0) + member.weight
    assert after == pytest.approx(before)
    assert len(outcome.ensemble.members) == 2 * len(before)


def test_what_is_exported_is_what_was_refitted(home: Home, outcome: Outcome) -> None:
    exported = load_bundle(outcome.export)
    assert [member.name for member in exported.members] == [each.name for each in outcome.ensemble.members]
    first, second = (exported.members[place].weights for place in (0, 1))
    assert any(not torch.equal(first[name], second[name]) for name in first), "seeds must differ"
    rows = {(row.name, row.split): row for row in outcome.report}
    assert rows["refit", "test"].params == sum(
        parameter.numel()
        for member in exported.members
        for parameter in member.build(exported.image).parameters()
    )
    assert outcome.refit_gain is not None
    data = session.load_data(Ledger.open(home.study("tiny")).config, home, quiet)
    answers = exported.build_module().answer(data.open_test().images)
    right = float((answers.argmax(axis=1) == data.open_test().labels).mean())
    assert rows["refit", "test"].accuracy == pytest.approx(right, abs=1e-9)


def test_the_validation_images_are_learnt_from(home: Home) -> None:
    ledger = Ledger.open(home.study("tiny"))
    data = TrainingData.of(session.load_data(ledger.config, home, quiet))
    both = refit_data(data)
    assert len(both.train) == len(data.train) + len(data.validation)
    assert np.array_equal(both.train.labels[len(data.train) :], data.validation.labels)
    ensemble = _ensemble(0)
    for training in refit_trainings(ledger, ensemble, data, 2):
        assert training.keep_last and training.done
        state = training.directory.load_best()
        assert state is not None and state.epoch == ledger.trial(0).config.recipe.epochs  # type: ignore[union-attr]


def test_nothing_is_trained_twice(home: Home, outcome: Outcome) -> None:
    seen: list[Event] = []
    again = run.resume(home.study("tiny"), seen.append, time.time())
    assert again == outcome
    (progress,) = [event for event in seen if isinstance(event, Loading) and "refitting" in event.description]
    assert progress.done == progress.total > 0


def test_two_networks_of_a_trial_are_one_when_it_is_refitted(home: Home) -> None:
    ledger = Ledger.open(home.study("tiny"))
    numbers = [member.number for member in load_outcome(ledger).ensemble.members]  # type: ignore[union-attr]
    number = numbers[0]
    members = (
        EnsembleMember(number=number, weight=0.5, view="shifted"),
        EnsembleMember(number=number, weight=0.2, network="soup"),
        EnsembleMember(number=99, weight=0.3, network="raw"),
    )
    found = refit(ledger, _of(members[:2]), 2)
    assert [(m.number, m.network, m.view, m.weight) for m in found.members] == [
        (number, "refit-1", "shifted", 0.35),
        (number, "refit-2", "shifted", 0.35),
    ]
    assert refit(ledger, _of(members[2:]), 2).members == members[2:], "what was not trained stays"


@pytest.mark.slow
@bundle_alone()
def test_an_interrupted_refit_goes_on(home: Home, outcome: Outcome, tmp_path: Path) -> None:
    def press_ctrl_c(event: Event) -> None:
        if isinstance(event, Loading) and "refitting" in event.description and event.done == 2:
            os.kill(os.getpid(), signal.SIGINT)

    config = tiny_config(refit=True, refit_seeds=2, epochs=3)
    with pytest.raises(StudyInterrupted):
        run.search(config, Home(tmp_path), press_ctrl_c, time.time())
    trained: list[int] = []

    def count(event: Event) -> None:
        if isinstance(event, Loading) and "refitting" in event.description:
            trained.append(event.done)

    resumed = run.resume(Home(tmp_path).study("tiny"), count, time.time())
    assert resumed.ensemble == outcome.ensemble
    assert trained[0] < 3 and len(trained) <= 1 + max(trained) - 1, (
        "finished epochs must not be trained again"
    )
    for member in outcome.ensemble.members:
        ours, theirs = (
            network(TrialDirectory(Home(each).study("tiny").trial(member.number)), member.network)
            for each in (tmp_path, home.root)
        )
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_it_keeps_its_share_of_the_time_back(home: Home) -> None:
    ledger = Ledger.open(home.study("tiny"))
    last: Measurement = ledger.trial(0).measurements[-1]
    data = TrainingData.of(session.load_data(ledger.config, home, quiet))
    (training,) = refit_trainings(ledger, _ensemble(0), data, 1)
    growth = (len(data.train) + len(data.validation)) / len(data.train)
    assert training.epoch_s == pytest.approx(growth * last.elapsed_s / last.epoch)
    assert training.directory.path == refit_directory(TrialDirectory(ledger.ref.trial(0)), 1).path


def _ensemble(number: int) -> Ensemble:
    return _of((EnsembleMember(number=number, weight=1.0),))


def _of(members: tuple[EnsembleMember, ...]) -> Ensemble:
    score = Score(accuracy=0.5, nll=1.0)
    return Ensemble(members=members, score=score, single=score)


@pytest.mark.parametrize(("count", "workers", "threads"), [(1, 1, 4), (2, 2, 2), (3, 3, 1), (9, 4, 1)])
def test_few_networks_share_all_cores(
    count: int, workers: int, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = []

    class Idle:
        def run(self, controller: object) -> None:
            """Nothing is trained: where it would be is the question."""

    def note(config: object, data: object, placement: Placement, home: object) -> Idle:
        placed.append((placement.workers, placement.threads))
        return Idle()

    monkeypatch.setattr("convscout.services.studies.extra_trainings.executor_of", note)
    config = replace(tiny_config(executor="ray", device="cpu"), threads=None)
    ledger = Ledger.create(Home(tmp_path), config, fingerprint="f" * 64)
    order = dispatch(tmp_path / "order")
    plan = [
        Training(
            name=f"network {index}",
            config=order.config,
            directory=TrialDirectory(tmp_path / str(index)),
            epoch_s=1.0,
        )
        for index in range(count)
    ]
    train(
        ledger,
        plan,
        digits(),
        placement=Placement(workers=4),
        cluster=None,
        description="refitting",
        left_s=lambda: 60.0,
        interrupted=lambda: False,
        listener=quiet,
    )
    assert placed == [(workers, threads)]
