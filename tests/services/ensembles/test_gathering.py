"""The candidates of an ensemble: every trial, and of the best ones other networks and views."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from convscout.search_space.errors import CorruptCheckpointError
from convscout.services.config.home import Home
from convscout.services.ensembles.ensemble import BEST, Ensemble, EnsembleMember, Score
from convscout.services.ensembles.gathering import VIEWED, LibraryBuilder
from convscout.services.ensembles.library import EnsembleLimits, Library, Member
from convscout.services.ensembles.networks import RAW, SOUP, network, networks_of
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies import run, session
from convscout.services.studies.finish import Finish
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.data.splits import DataSplits
from convscout.trials.evaluation.metrics import accuracy
from tests.support.studies import TINY_SPACE, bundle_alone, quiet, tiny_config

AVERAGED = {**TINY_SPACE, "recipe.averaging": "ema"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Of a study of seven trials of four epochs whose weights are averaged."""
    found = Home(tmp_path_factory.mktemp("home"))
    with bundle_alone():
        run.search(tiny_config(trials=VIEWED + 2, epochs=4, space=AVERAGED), found, quiet, time.time())
    return found


@pytest.fixture(scope="module")
def splits(home: Home) -> DataSplits:
    return session.load_data(Ledger.open(home.study("tiny")).config, home, quiet)


def _candidates(home: Home, splits: DataSplits) -> dict[str, Member]:
    library = _library(home, splits)
    return {each.name: each for each in library.candidates}


def _library(home: Home, splits: DataSplits) -> Library:
    return LibraryBuilder(Ledger.open(home.study("tiny")), splits, quiet).library(EnsembleLimits(size=5))


def test_the_best_trials_bring_their_other_networks_and_views(home: Home, splits: DataSplits) -> None:
    ledger = Ledger.open(home.study("tiny"))
    judged = [record.number for record in LibraryBuilder(ledger, splits, quiet).scored()]
    assert len(judged) == VIEWED + 2
    views = [
        TrialDirectory(ledger.ref.trial(number)).load_views(epoch)
        for number in judged
        if (epoch := _epoch(ledger, number))
    ]
    assert [found is not None for found in views] == [True] * VIEWED + [False] * 2
    for number, found in zip(judged, views[:VIEWED], strict=False):
        assert found is not None
        expected = {f"{RAW} plain"} | (
            {f"{SOUP} plain"} if TrialDirectory(ledger.ref.trial(number)).load_past() else set()
        )
        assert expected < set(found) and len(found) == len(expected) + 1
        assert any(name.endswith(" shifted") for name in found), "digits must not be mirrored"


def _epoch(ledger: Ledger, number: int) -> int | None:
    return TrialDirectory(ledger.ref.trial(number)).best_epoch


def test_what_a_candidate_is_said_to_answer_is_what_its_export_answers(
    home: Home, splits: DataSplits
) -> None:
    ledger = Ledger.open(home.study("tiny"))
    finish = Finish(ledger, splits, quiet)
    images, labels = splits.validation.images, splits.validation.labels
    candidates = _candidates(home, splits)
    kinds = {(each.network, each.view) for each in candidates.values()}
    assert {network for network, _ in kinds} == {BEST, RAW, SOUP} and {view for _, view in kinds} > {"plain"}
    for each in candidates.values():
        member = EnsembleMember(
            number=each.number, weight=1.0, temperature=each.temperature, network=each.network, view=each.view
        )
        score = Score.of(each.probabilities, labels)
        trained = finish.load_trained(Ensemble(members=(member,), score=score, single=score))
        np.testing.assert_allclose(trained.build_module().answer(images), each.probabilities, atol=1e-4)


def test_they_are_asked_once(home: Home, splits: DataSplits, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _candidates(home, splits)
    monkeypatch.delattr(LibraryBuilder, "_ask")
    after = _candidates(home, splits)
    assert list(before) == list(after)
    assert all(np.array_equal(before[name].probabilities, after[name].probabilities) for name in before)


def test_a_damaged_answer_is_asked_again(home: Home, splits: DataSplits) -> None:
    before = _candidates(home, splits)
    files: list[Path] = sorted(home.study("tiny").directory.glob("trials/*/views-*"))
    files[0].write_bytes(files[0].read_bytes()[:-7])
    after = _candidates(home, splits)
    assert list(before) == list(after)


def test_a_soup_is_the_mean_of_epochs(tmp_path: Path) -> None:
    directory = TrialDirectory(tmp_path)
    for name in (BEST, SOUP):
        with pytest.raises(CorruptCheckpointError, match=f"the network '{name}' .* is missing"):
            network(directory, name)
    for epoch, value in ((2, 9.0), (4, 6.0), (6, 2.0), (7, 1.0)):
        weights = {"weight": torch.full((3,), value), "steps": torch.tensor(epoch)}
        directory.save_best(epoch, weights, torch.ones(2, 2))
        directory.save_epoch(epoch, {"epoch": epoch})
        kept = directory.load_best()
        assert kept is not None
        expected = {BEST} if epoch == 2 else {BEST, SOUP}
        assert set(networks_of(kept, directory.load_past())) == expected
    found = network(directory, SOUP)
    assert found["weight"].tolist() == [3.0] * 3 and found["steps"] == 7


def test_answers_of_scored_trials_are_told_in_the_order_of_numbers_as_far_as_they_are_whole(
    home: Home, splits: DataSplits, tmp_path: Path
) -> None:
    copy = Home(shutil.copytree(home.root, tmp_path / "home"))
    ledger = Ledger.open(copy.study("tiny"))
    builder = LibraryBuilder(ledger, splits, quiet)
    numbers = [record.number for record in ledger.trials()]
    assert [number for number, _ in builder.answers()] == numbers
    for number, probabilities in builder.answers():
        best = ledger.trial(number).best
        assert best is not None
        assert accuracy(probabilities, splits.validation.labels) == pytest.approx(best.val_accuracy)
    dropped, unsure = (
        TrialDirectory(ledger.ref.trial(numbers[0])),
        TrialDirectory(ledger.ref.trial(numbers[2])),
    )
    dropped.discard()
    kept = unsure.load_best()
    assert kept is not None
    unsure.save_best(kept.epoch + 1, kept.weights, torch.full_like(kept.probabilities, torch.nan))
    assert [number for number, _ in builder.answers()] == [numbers[1], *numbers[3:]]


def test_the_best_single_trial_is_one_as_it_was_judged(home: Home, splits: DataSplits) -> None:
    library = _library(home, splits)
    best = LibraryBuilder(Ledger.open(home.study("tiny")), splits, quiet).scored()[0]
    assert best.best is not None
    assert library.single.accuracy == pytest.approx(best.best.val_accuracy)
    assert accuracy(library.candidates[0].probabilities, library.labels) >= library.single.accuracy
