"""TPE finds good regions as Optuna's does, in conditional spaces too, and what it keeps in memory changes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from convscout.search_space.space import SearchSpace
from convscout.services.samplers.base import SamplingTask
from convscout.services.samplers.distributions import contains
from convscout.services.samplers.observations import Observations
from convscout.services.samplers.tpe import sampler as tpe
from convscout.services.samplers.tpe.parzen import ParzenEstimator, recency
from convscout.trials.end_reason import EndReason
from tests.support.sampled import BEST_RATE, IMAGE, PARTS, WHOLE, imagine, new_study, rate_of, smooth

BATCHES = {"recipe.batch_size": {"choices": [64, 128, 256]}}
LENET = SearchSpace(image=IMAGE, families=("lenet",), overrides={**PARTS, **BATCHES})
KNOBS: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(1e-3, 1, log=True),
    "share": FloatDistribution(0, 0.3),
    "width": IntDistribution(8, 64, log=True),
    "depth": IntDistribution(1, 9, step=2),
    "name": CategoricalDistribution(["x", "y", "z"]),
}
MAXIMIZE = StudyDirection.MAXIMIZE


def columns(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """So many random values of each of ``KNOBS``."""
    rng = np.random.default_rng(seed)
    return {
        "rate": 10.0 ** rng.uniform(-3, 0, count),
        "share": rng.uniform(0, 0.3, count),
        "width": rng.integers(8, 65, count).astype(float),
        "depth": 1.0 + 2 * rng.integers(0, 5, count),
        "name": rng.integers(0, 3, count).astype(float),
    }


@pytest.mark.parametrize("count", [0, 1, 2, 40])
@pytest.mark.parametrize("name", ["width", "depth", "name"])
def test_a_density_over_what_can_be_counted_adds_up_to_one(name: str, count: int) -> None:
    found = ParzenEstimator.of({name: columns(count)[name]}, {name: KNOBS[name]})
    values = {"width": np.arange(8.0, 65), "depth": np.arange(1.0, 10, 2), "name": np.arange(3.0)}[name]
    assert np.exp(found.log_density({name: values})).sum() == pytest.approx(1)


@pytest.mark.parametrize("name", KNOBS)
def test_samples_are_legal_and_follow_the_density(name: str) -> None:
    found = ParzenEstimator.of({name: columns(30)[name]}, {name: KNOBS[name]})
    drawn = found.sample(4_000, np.random.default_rng(1))[name]
    assert all(contains(KNOBS[name], KNOBS[name].to_external_repr(float(value))) for value in drawn)
    edges = {
        "rate": np.geomspace(1e-3, 1, 9), "share": np.linspace(0, 0.3, 9), "width": np.linspace(7.5, 64.5, 9),
        "depth": np.arange(0, 11, 2), "name": np.arange(-0.5, 3),
    }[name]  # fmt: skip
    grid = {
        "rate": np.geomspace(1e-3, 1, 40_001), "share": np.linspace(0, 0.3, 40_001),
        "width": np.arange(8.0, 65), "depth": np.arange(1.0, 10, 2), "name": np.arange(3.0),
    }[name]  # fmt: skip
    density = np.exp(found.log_density({name: grid}))
    expected, _ = np.histogram(grid, edges, weights=density / density.sum())
    seen = np.histogram(drawn, edges)[0] / len(drawn)
    assert np.abs(seen - expected).max() < 0.03


def test_what_stands_for_many_trials_has_about_their_density() -> None:
    rng = np.random.default_rng(2)
    many = {"share": np.clip(rng.normal(0.1, 0.03, 6_000), 0, 0.3), "name": rng.integers(0, 2, 6_000) * 2.0}
    knobs = {name: KNOBS[name] for name in many}
    places = {"share": np.linspace(0.05, 0.15, 15), "name": np.repeat([0.0, 2.0, 2.0], 5)}
    whole = ParzenEstimator.of(many, knobs).log_density(places)
    fewer = ParzenEstimator.of(many, knobs, most=tpe.MOST_BAD)
    assert len(fewer.weights) == tpe.MOST_BAD + 1
    assert np.abs(fewer.log_density(places) - whole).mean() < 0.2


def test_late_trials_weigh_more() -> None:
    weights = recency(100)
    assert weights[0] == pytest.approx(0.01) and (weights[-25:] == 1).all()
    assert (np.diff(weights) >= 0).all()
    assert list(recency(3)) == [1, 1, 1] and len(recency(0)) == 0


def trial(number: int, state: TrialState, rate: float, **facts: object) -> FrozenTrial:
    found = create_trial(
        state=state,
        params={"rate": rate},
        distributions={"rate": KNOBS["rate"]},
        **facts,  # type: ignore[arg-type]
    )
    found.number = number
    return found


def test_completed_trials_rank_before_stopped_ones_and_those_before_what_was_too_dear() -> None:
    dear = trial(0, TrialState.PRUNED, 0.1)
    dear.set_constraint("max_params", 0.5)
    trials = [
        dear,
        trial(1, TrialState.COMPLETE, 0.1, value=0.5),
        trial(2, TrialState.PRUNED, 0.1, intermediate_values={1: 0.9}),
        trial(3, TrialState.COMPLETE, 0.1, value=0.7),
        trial(4, TrialState.PRUNED, 0.1, intermediate_values={1: 0.1, 2: 0.2}),
        trial(5, TrialState.RUNNING, 0.1),
        trial(6, TrialState.FAIL, 0.1),
    ]
    seen = Observations(MAXIMIZE)
    seen.update(trials)
    assert seen.num_finished == 5
    best_first = [3, 1, 4, 2, 0]
    for count in range(6):
        good, bad = seen.split(count)
        assert sorted(np.flatnonzero(good)) == sorted(best_first[:count])
        assert sorted(np.flatnonzero(bad)) == sorted([*best_first[count:], 5])


def test_observations_follow_what_changes() -> None:
    often = Observations(MAXIMIZE)
    trials = [trial(0, TrialState.COMPLETE, 0.1, value=0.5), create_trial(state=TrialState.WAITING)]
    trials[1].number = 1
    often.update(trials)
    trials = [trials[0], trial(1, TrialState.RUNNING, 0.2), trial(2, TrialState.COMPLETE, 0.3, value=0.6)]
    often.update(trials)
    trials = [trials[0], trial(1, TrialState.COMPLETE, 0.2, value=0.9), trials[2]]
    often.update(trials)
    once = Observations(MAXIMIZE)
    once.update(trials)
    for seen in (often, once):
        assert list(seen.values("rate", KNOBS["rate"])) == [0.1, 0.2, 0.3]
        assert list(np.flatnonzero(seen.split(1)[0])) == [1]


def test_values_that_are_no_longer_allowed_are_left_out() -> None:
    seen = Observations(MAXIMIZE)
    seen.update(
        [trial(0, TrialState.COMPLETE, 0.1, value=0.5), trial(1, TrialState.COMPLETE, 0.9, value=0.5)]
    )
    narrowed = seen.values("rate", FloatDistribution(1e-3, 0.5, log=True))
    assert narrowed[0] == 0.1 and math.isnan(narrowed[1])
    assert np.isnan(seen.values("another", KNOBS["rate"])).all()


def optuna_study(
    factory: Callable[[Study, int], BaseSampler], space: SearchSpace, trials: int, seed: int
) -> Study:
    """A study without a ledger."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for number in range(trials):
        study.sampler = factory(study, 1000 * seed + number)
        asked = study.ask()
        space.suggest(asked)
        study.tell(asked, smooth(asked.params))
    return study


def ours(space: SearchSpace) -> Callable[[Study, int], BaseSampler]:
    return tpe.tpe(SamplingTask(space=space)).fresh


@pytest.mark.parametrize("space", [LENET, SearchSpace(image=IMAGE, families=("lenet", "vgg"))])
def test_it_concentrates_on_a_good_region(space: SearchSpace) -> None:
    def error(rates: list[float]) -> float:
        return float(np.median([abs(math.log10(rate / BEST_RATE)) for rate in rates]))

    begin, end = [], []
    for seed in range(3):
        rates = [rate_of(each.params) for each in optuna_study(ours(space), space, 60, seed).trials]
        begin += rates[: tpe.STARTUP]
        end += rates[-20:]
    assert error(end) < 0.5 * error(begin)


@pytest.mark.slow
def test_its_proposals_are_distributed_as_those_of_optuna() -> None:
    """For the same trials, of which some were stopped, some too dear and one still runs."""
    history = optuna_study(ours(LENET), LENET, 40, 0)
    for number in range(12):
        asked = history.ask()
        LENET.suggest(asked)
        if number < 6:
            asked.report(0.1 * number, 1)
            history.tell(asked, state=TrialState.PRUNED)
        elif number < 11:
            asked.set_constraint("max_params", 0.1 * number)
            history.tell(asked, state=TrialState.PRUNED)

    def drawn(factory: Callable[[Study, int], BaseSampler]) -> dict[str, np.ndarray]:
        found = []
        for seed in range(150):
            study = optuna.create_study(direction="maximize")
            study.add_trials(history.trials)
            study.sampler = factory(study, seed)
            asked = study.ask()
            LENET.suggest(asked)
            found.append(asked.params)
        return {
            "sgd.learning_rate": np.log([each["sgd.learning_rate"] for each in found]),
            "lenet.width": np.log([each["lenet.width"] for each in found]),
            "recipe.batch_size": np.array([each["recipe.batch_size"] for each in found], float),
            "recipe.warmup": np.array([each["recipe.warmup"] for each in found if "recipe.warmup" in each]),
        }

    one, other = drawn(ours(LENET)), drawn(lambda study, seed: TPESampler(seed=seed))
    for name in one:
        steps = np.sort(np.concatenate((one[name], other[name])))
        shares = [
            np.searchsorted(np.sort(each[name]), steps, side="right") / len(each[name])
            for each in (one, other)
        ]
        assert np.abs(shares[0] - shares[1]).max() < 0.2, name  # the rule of Kolmogorov and Smirnov


def test_what_it_kept_in_memory_changes_no_proposal(tmp_path: Path) -> None:
    task = SamplingTask(space=WHOLE)
    warm, cold = (new_study(tmp_path / name, task) for name in ("warm", "cold"))
    kept = tpe.tpe(task).fresh
    for _ in range(20):
        assert imagine(warm, WHOLE, kept, smooth) == imagine(cold, WHOLE, tpe.tpe(task).fresh, smooth)


def test_it_looks_away_from_what_is_rejected(tmp_path: Path) -> None:
    task = SamplingTask(space=LENET)

    def share_of_wide(limited: bool) -> float:
        ledger, fresh = new_study(tmp_path / str(limited), task), tpe.tpe(task).fresh
        widths = []
        while len(widths) < 60:
            proposal = ledger.propose(LENET, fresh)
            width = getattr(proposal.candidate[0], "width")  # noqa: B009 — a field of LeNet alone
            widths.append(width)
            ledger.reject(
                proposal.number,
                EndReason.LIMIT_EXCEEDED,
                "",
                {"max_params": max(0.0, width / 8 - 1) if limited else 0.001},
            )
        return sum(width > 12 for width in widths[20:]) / 40

    assert share_of_wide(limited=True) < 0.6 * share_of_wide(limited=False)
