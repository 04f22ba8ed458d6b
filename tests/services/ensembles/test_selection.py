"""Every strategy finds members that are worth more together, within the limits, and never less than the best alone."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from convscout.search_space.errors import ConvscoutError, UserError
from convscout.services.config.setting_types import AUTO
from convscout.services.config.study_config import strategies
from convscout.services.ensembles.combination import combine
from convscout.services.ensembles.cross_validation import StrategyChoice, choose
from convscout.services.ensembles.ensemble import Ensemble, Score
from convscout.services.ensembles.forward_selection import select_forward
from convscout.services.ensembles.front import COSTS, front
from convscout.services.ensembles.library import (
    FLOOR,
    LIBRARY,
    EnsembleLimits,
    Library,
    LogWeights,
    Member,
    shortlist,
)
from convscout.services.ensembles.mixture import mixture
from convscout.services.ensembles.selection import select
from convscout.services.ensembles.selectors.greedy import greedy
from convscout.services.ensembles.temperature import temper
from convscout.services.plugins import selectors
from convscout.trials.data.splits import Labels
from convscout.trials.evaluation.metrics import Probabilities, accuracy, log_losses, nll
from convscout.trials.evaluation.qualities import QUALITIES

STRATEGIES = selectors.names()


def _random_members(seed: int, num_members: int, num_images: int = 60, num_classes: int = 4) -> list[Member]:
    """Trials of three families, the larger the higher their number."""
    rng = np.random.default_rng(seed)
    shape = (num_members, num_images)
    answers = rng.dirichlet(np.ones(num_classes), size=shape).astype(np.float32)
    return [
        Member(
            number=number,
            probabilities=answer,
            family="abc"[number % 3],
            params=100 * (number + 1),
            latency_s=0.001 * (number + 1),
        )
        for number, answer in enumerate(answers)
    ]


def _labels(seed: int, num_images: int = 60, num_classes: int = 4) -> Labels:
    return np.random.default_rng(seed + 1).integers(num_classes, size=num_images)


def _library(
    candidates: list[Member], labels: Labels, size: int = 5, objective: str = "accuracy", **limits: float
) -> Library:
    return Library.of(candidates, labels, EnsembleLimits(size=size, **limits), objective)  # type: ignore[arg-type]


def _uncalibrated(candidates: list[Member], labels: Labels, size: int = 5) -> Library:
    """In the order given, and as they were trained."""
    return Library(
        candidates=tuple(candidates),
        labels=labels,
        limits=EnsembleLimits(size=size),
        objective="accuracy",
        single=Score.of(candidates[0].probabilities, labels),
    )


def _combined(ensemble: Ensemble, candidates: list[Member]) -> Probabilities:
    answers = {candidate.number: candidate.probabilities for candidate in candidates}
    parts = [temper(answers[each.number], each.temperature) for each in ensemble.members]
    mean = combine(parts, [each.weight for each in ensemble.members], ensemble.biases)
    return temper(mean, ensemble.temperature)


def _numbers(ensemble: Ensemble) -> list[int]:
    return [member.number for member in ensemble.members]


def _complementary() -> tuple[list[Member], Labels]:
    """Three trials that are right and sure on two thirds of the images each, and a fourth that is right on more."""
    labels = np.arange(30, dtype=np.int64) % 2
    right, wrong = np.eye(2, dtype=np.float32)[labels], np.eye(2, dtype=np.float32)[1 - labels]
    thirds = np.arange(30) % 3
    members = [
        Member(
            number=third, probabilities=np.where((thirds == third)[:, None], 0.6 * wrong + 0.4 * right, right)
        )
        for third in range(3)
    ]
    alone = np.where((np.arange(30) < 9)[:, None], wrong, right)
    return [*members, Member(number=3, probabilities=alone)], labels


@pytest.mark.parametrize("strategy", ["greedy", "weighted", "bagged"])
def test_complementary_trials_beat_the_best_one(strategy: str) -> None:
    candidates, labels = _complementary()
    ensemble = select(_library(candidates, labels, 3), strategy)
    assert ensemble.single.accuracy == 0.7
    assert ensemble.score.accuracy == 1.0
    assert accuracy(_combined(ensemble, candidates), labels) == 1.0


def test_a_stronger_trial_weighs_more() -> None:
    labels = np.zeros(3, dtype=np.int64)
    first = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]], dtype=np.float32)
    # needed for the last image, and alone it spoils the first unless outweighed by two to one
    second = np.array([[0.0, 1.0], [0.2, 0.8], [0.9, 0.1]], dtype=np.float32)
    candidates = [Member(number=7, probabilities=first), Member(number=8, probabilities=second)]
    library = _uncalibrated(candidates, labels, 2)
    weights = greedy(library)
    assert accuracy(library.answer(weights), labels) == 1.0
    assert weights[0] > weights[1]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**20),
    num_members=st.integers(1, 12),
    size=st.integers(1, 6),
    objective=st.sampled_from(sorted(QUALITIES)),
    share=st.floats(0.1, 1.0),
)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_never_below_the_best_single_within_the_limits_and_truthful(
    strategy: str, seed: int, num_members: int, size: int, objective: str, share: float
) -> None:
    candidates, labels = _random_members(seed, num_members), _labels(seed)
    most = max(100, int(share * sum(each.params for each in candidates)))
    library = _library(candidates, labels, size, objective, params=most)
    ensemble = select(library, strategy)
    alone = library.rank(library.candidates[0].probabilities)
    shares = {
        index: member.weight
        for index, each in enumerate(library.candidates)
        for member in ensemble.members
        if member.number == each.number
    }
    weights = LogWeights(shares, biases=ensemble.biases) if ensemble.biases else shares
    assert library.rank(library.answer(weights)) >= (alone[0] - 1e-6, alone[1] - 1e-6)
    assert 1 <= len(set(_numbers(ensemble))) == len(ensemble.members) <= size
    assert sum(candidates[number].params for number in _numbers(ensemble)) <= most
    assert sum(member.weight for member in ensemble.members) == pytest.approx(1)
    assert all(member.weight > 0 for member in ensemble.members)
    combined = _combined(ensemble, candidates)
    assert accuracy(combined, labels) == pytest.approx(ensemble.score.accuracy, abs=0.02)  # near ties
    assert nll(combined, labels) == pytest.approx(ensemble.score.nll, rel=1e-4)


def test_each_greedy_step_is_the_best_one() -> None:
    """With two draws and two slots the greedy answer can be found by trying every second draw."""
    for seed in range(20):
        candidates, labels = _random_members(seed, 8), _labels(seed)
        library = _library(candidates, labels, 2)
        found = library.rank(library.answer(select_forward(library, rounds=2)))
        pairs = [{0: 0.5, index: 0.5} for index in range(1, len(library))]
        expected = library.rank(library.answer(library.best([{0: 1.0}, *pairs])))
        assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("strategy", [AUTO, *STRATEGIES])
def test_selection_does_not_depend_on_the_order_of_candidates(strategy: str) -> None:
    candidates, labels = _random_members(3, 10), _labels(3)
    forward = select(_library(candidates, labels, 4), strategy)
    assert select(_library(candidates, labels, 4), strategy) == forward
    assert select(_library(candidates[::-1], labels, 4), strategy) == forward


def test_equal_accuracy_is_decided_by_log_loss() -> None:
    labels = np.arange(40) % 2
    right = np.eye(2, dtype=np.float32)[labels]
    unlike = np.random.default_rng(0).uniform(0.5, 1, (40, 1)).astype(np.float32)
    sure, unsure = 0.9 * right + 0.05, unlike * right + (1 - unlike) / 2
    candidates = [Member(number=1, probabilities=unsure), Member(number=2, probabilities=sure)]
    assert _library(candidates, labels, 2).candidates[0].number == 2


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_candidate_is_the_ensemble(strategy: str) -> None:
    (candidate,), labels = _random_members(0, 1), _labels(0)
    ensemble = select(_library([candidate], labels), strategy)
    assert [(member.number, member.weight) for member in ensemble.members] == [(0, 1.0)]
    assert ensemble.single == Score.of(candidate.probabilities, labels)
    assert ensemble.score.accuracy == ensemble.single.accuracy


def test_equal_candidates_give_the_first_alone() -> None:
    (candidate,), labels = _random_members(0, 1), _labels(0)
    copies = [Member(number=number, probabilities=candidate.probabilities) for number in (9, 4, 6)]
    assert _numbers(select(_library(copies, labels), "greedy")) == [4]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_probabilities_that_are_not_finite_are_refused(bad: float) -> None:
    candidates, labels = _random_members(0, 3), _labels(0)
    candidates[1].probabilities[5, 2] = bad
    with pytest.raises(ConvscoutError, match=r"trial 1 .* NaN or infinite"):
        _library(candidates, labels)


def test_probabilities_of_other_images_are_refused() -> None:
    candidates, labels = _random_members(0, 2), _labels(0)
    with pytest.raises(ConvscoutError, match=r"trial 0 .* shape \(60, 4\), but there are 59"):
        _library(candidates, labels[1:])


@pytest.mark.parametrize("strategy", [AUTO, *STRATEGIES])
def test_an_ensemble_survives_json(strategy: str) -> None:
    ensemble = select(_library(_random_members(5, 6), _labels(5), 3), strategy)
    assert Ensemble.from_dict(json.loads(json.dumps(ensemble.to_dict()))) == ensemble


def test_a_candidate_that_knows_almost_nothing_is_left_out() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    able = rng.dirichlet(np.ones(4), 200).astype(np.float32) + 2 * np.eye(4, dtype=np.float32)[labels] * (
        rng.random((200, 1)) < 0.8
    ).astype(np.float32)
    able /= able.sum(axis=1, keepdims=True)
    constant = np.tile(np.float32([0.28, 0.24, 0.24, 0.24]), (200, 1))
    candidates = [Member(number=0, probabilities=able), Member(number=1, probabilities=constant)]
    assert accuracy(constant, labels) < FLOOR * accuracy(able, labels)
    assert [each.number for each in _library(candidates, labels, 2).candidates] == [0]


def test_weights_are_those_of_least_log_loss() -> None:
    rng = np.random.default_rng(1)
    likelihoods = rng.uniform(0.05, 1, (3, 400)).astype(np.float32)
    even = np.ones(400, np.float32)
    found = mixture(likelihoods, even)

    def loss(weights: np.ndarray) -> float:
        return float(log_losses(weights.astype(np.float32) @ likelihoods).mean())

    others = [rng.dirichlet(np.ones(3)) for _ in range(500)]
    assert loss(found) <= min(map(loss, others)) + 1e-5
    assert found.sum() == pytest.approx(1) and (found >= 0).all()


def test_stacking_finds_the_weights_and_biases_of_least_log_loss() -> None:
    """A candidate that sees every class but overrates one, one that is half as sure, and one that knows nothing."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 2000)
    truth = 2 * np.eye(3)[labels] + rng.standard_normal((2, 2000, 3))
    guesses = [truth[0] + [0, 0, 1.5], truth[1] / 2, rng.standard_normal((2000, 3))]
    candidates = [
        Member(number=number, probabilities=softmax(each, axis=1).astype(np.float32))
        for number, each in enumerate(guesses)
    ]
    library = _uncalibrated(candidates, labels, 3)
    found = selectors.get("stacking")(library)
    assert isinstance(found, LogWeights) and sum(found.values()) == pytest.approx(1)
    assert found[1] == pytest.approx(2 * found[0], rel=0.15) and found.get(2, 0) < 0.05
    assert np.argmin(found.biases) == 2
    mixture_of_them = selectors.get("weighted")(library)
    assert library.rank(library.answer(found)) > library.rank(library.answer(mixture_of_them))
    ensemble = select(library, "stacking")
    assert ensemble.biases == found.biases
    assert _combined(ensemble, candidates) == pytest.approx(
        temper(library.answer(found), ensemble.temperature), abs=1e-5
    )


def test_no_network_is_a_member_with_two_views() -> None:
    candidates, labels = _random_members(2, 5), _labels(2)
    twice = [*candidates, *(replace(each, view="mirrored") for each in candidates)]
    library = _library(twice, labels, 10)
    for strategy in STRATEGIES:
        members = select(library, strategy).members
        assert len({(each.number, each.network) for each in members}) == len(members)


def test_the_best_single_network_is_one_as_it_was_trained() -> None:
    labels = np.arange(60) % 4
    right = np.eye(4, dtype=np.float32)[labels]
    usual = Member(number=1, probabilities=0.4 * right + 0.6 * right[::-1])
    library = _library([usual, replace(usual, probabilities=right, view="shifted")], labels)
    assert library.candidates[0].name == "1 shifted"
    assert library.single == Score.of(usual.probabilities, labels)


def test_each_family_has_its_turn() -> None:
    labels = np.arange(300) % 3
    rng = np.random.default_rng(2)

    def member(number: int, family: str, skill: float) -> Member:
        odds = np.exp(rng.standard_normal((300, 3)) + skill * np.eye(3)[labels]).astype(np.float32)
        return Member(number=number, family=family, probabilities=odds / odds.sum(axis=1, keepdims=True))

    candidates = [member(number, "lenet", 2.0) for number in range(4)]
    candidates += [member(4, "vgg", 1.7), member(5, "resnet", 1.7)]
    library = _library(candidates, labels, 3)
    families = [library.candidates[index].family for index in selectors.get("diverse")(library)]
    assert sorted(families) == ["lenet", "resnet", "vgg"]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("limit", "most"),
    [("params", 900), ("bytes", 3_600), ("latency", 0.009)],
    ids=["params", "bytes", "latency"],
)
def test_limits_hold_for_all_members_together(strategy: str, limit: str, most: float) -> None:
    candidates, labels = _random_members(7, 9), _labels(7)
    ensemble = select(_library(candidates, labels, 9, **{limit: most}), strategy)
    assert sum(candidates[number].params for number in _numbers(ensemble)) <= 900


def test_limits_that_nobody_keeps_are_refused() -> None:
    with pytest.raises(UserError, match=r"the smallest has 100 parameters .* raise the limit"):
        _library(_random_members(0, 3), _labels(0), params=50)


def test_a_library_holds_the_best_and_the_best_of_each_family() -> None:
    families = ["a"] * 100 + ["b"]
    kept = shortlist(families)
    assert len(kept) == LIBRARY and kept == [*range(LIBRARY - 1), 100]
    assert shortlist(["a", "b", "a"]) == [0, 1, 2]


class TestCrossValidation:
    def test_takes_the_strategy_of_the_best_answers_to_unseen_images(self) -> None:
        """Two good trials among forty that are right by chance: who weighs all of them overfits."""
        rng = np.random.default_rng(4)
        labels = rng.integers(0, 3, 1500)
        good = [np.exp(rng.standard_normal((1500, 3)) + 1.8 * np.eye(3)[labels]) for _ in range(2)]
        weak = [np.exp(2 * rng.standard_normal((1500, 3)) + 1.2 * np.eye(3)[labels]) for _ in range(12)]
        candidates = [
            Member(number=number, probabilities=(odds / odds.sum(axis=1, keepdims=True)).astype(np.float32))
            for number, odds in enumerate([*good, *weak])
        ]
        library = _library(candidates, labels, 5)
        choice = choose(library)
        assert choice.strategy in STRATEGIES and "5-fold cross-validation" in choice.reason
        assert all(name in choice.reason for name in STRATEGIES)
        assert select(library, AUTO).strategy == choice.strategy

    def test_says_how_good_the_chosen_one_is_on_unseen_images(self) -> None:
        """Of networks that guess, the best on some images is right no more often than the others on further ones."""
        rng = np.random.default_rng(5)
        labels = rng.integers(0, 3, 300)
        odds = rng.random((20, 300, 3)).astype(np.float32) + 0.1
        candidates = [
            Member(number=number, probabilities=each / each.sum(axis=1, keepdims=True))
            for number, each in enumerate(odds)
        ]
        found = select(_library(candidates, labels, 5), AUTO)
        assert found.unseen is not None
        assert found.score.accuracy > 0.38
        assert found.unseen.low < 1 / 3 < found.unseen.high < found.score.accuracy + 0.03
        assert Ensemble.from_dict(json.loads(json.dumps(found.to_dict()))).unseen == found.unseen
        assert select(_library(candidates, labels, 5), "greedy").unseen is None

    def test_needs_two_candidates_and_some_images(self) -> None:
        candidates, labels = _random_members(0, 3), _labels(0)
        assert choose(_library(candidates[:1], labels)) == StrategyChoice(
            strategy="top-k", reason="there is one candidate"
        )
        few = [replace(each, probabilities=each.probabilities[:9]) for each in candidates]
        assert "too few" in choose(_library(few, labels[:9])).reason


class TestFront:
    def test_more_cost_brings_more_and_the_last_is_the_best(self) -> None:
        candidates, labels = _random_members(11, 8, num_images=200), _labels(11, num_images=200)
        library = _library(candidates, labels, 3)
        for cost in COSTS.values():
            points = front(library, cost)
            assert [p.cost for p in points] == sorted(
                sum(cost.of(candidates[n]) for n in _numbers(p.ensemble)) for p in points
            )
            scores = [(p.ensemble.score.accuracy, -p.ensemble.score.nll) for p in points]
            assert all(one < other for one, other in pairwise(scores))
            assert points[-1].ensemble.score.accuracy >= max(
                accuracy(each.probabilities, labels) for each in library.candidates
            )

    def test_no_single_candidate_is_better_than_the_front_at_its_cost(self) -> None:
        candidates, labels = _random_members(3, 12, num_images=400), _labels(3, num_images=400)
        weakest_first = sorted(candidates, key=lambda each: accuracy(each.probabilities, labels))
        close = [replace(each, params=10_000 + place) for place, each in enumerate(weakest_first)]
        library = _library(close, labels, 4)
        points = front(library, COSTS["params"])
        for each in library.candidates:
            affordable = [p.ensemble.score.accuracy for p in points if p.cost <= each.params]
            assert affordable and max(affordable) >= accuracy(each.probabilities, labels)


def test_strategies_begin_with_the_one_that_compares_them() -> None:
    assert strategies()[0] == AUTO and {"greedy", "bagged", "weighted", "diverse", "top-k"} <= set(
        strategies()
    )
