"""Local search stays near the best candidate so far."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import IntDistribution

from convscout.search_space.errors import ConfigError
from convscout.search_space.space import SearchSpace
from convscout.services.ledger.ledger import Ledger
from convscout.services.plugins import samplers
from convscout.services.samplers.base import SamplingTask
from convscout.services.samplers.distributions import distributions_of
from convscout.services.samplers.local import CHANGES, STEP
from convscout.services.samplers.shared_knobs import deciding_knobs
from tests.support.sampled import IMAGE, WHOLE, factory, imagine, new_study, smooth, task_of


def begun(root: Path) -> tuple[Ledger, SamplingTask, list[dict[str, Any]]]:
    """A study of the whole space that has tried the first three of its portfolio."""
    task = task_of("local")
    ledger = new_study(root, task)
    queued = [task.space.parameters(candidate) for candidate in task.space.portfolio()[:3]]
    for parameters in queued:
        ledger.enqueue(parameters)
    fresh = factory(task, "local")
    worth = {str(parameters): value for parameters, value in zip(queued, (0.5, 0.9, 0.7), strict=True)}
    for _ in queued:
        imagine(ledger, task.space, fresh, lambda parameters: worth[str(parameters)])
    return ledger, task, queued


def changed(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    """The knobs that differ."""
    return {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}


def test_a_few_knobs_of_the_best_are_changed(tmp_path: Path) -> None:
    ledger, task, queued = begun(tmp_path)
    best, deciding = queued[1], set(deciding_knobs(task.space))
    every = set[str]()
    for _ in range(12):
        proposed = imagine(ledger, task.space, factory(task, "local"), lambda parameters: 0.1)
        differing = changed(best, proposed)
        assert 1 <= len(differing) <= CHANGES and not differing & deciding
        every |= differing
    assert len(every) > CHANGES


def test_it_follows_whoever_is_better(tmp_path: Path) -> None:
    ledger, task, queued = begun(tmp_path)
    better = imagine(ledger, task.space, factory(task, "local"), lambda parameters: 0.95)
    following = imagine(ledger, task.space, factory(task, "local"), lambda parameters: 0.1)
    assert len(changed(better, following)) <= CHANGES < len(changed(queued[1], queued[0]))


@pytest.mark.slow
def test_numbers_move_a_little_and_stay_in_their_ranges(tmp_path: Path) -> None:
    ledger, task, queued = begun(tmp_path)
    known = distributions_of(task.space)
    moves = []
    for _ in range(40):
        proposed = imagine(ledger, task.space, factory(task, "local"), lambda parameters: 0.1)
        for name in changed(queued[1], proposed):
            each = known[name]
            if (low := getattr(each, "low", None)) is None:
                assert proposed[name] in each.choices  # type: ignore[attr-defined]
                continue
            high, values = each.high, (queued[1][name], proposed[name])  # type: ignore[attr-defined]
            assert low <= values[1] <= high
            if isinstance(each, IntDistribution) and high - low < 10:
                continue  # the smallest step is a large one
            if each.log:  # type: ignore[attr-defined]
                low, high, *values = map(math.log, (low, high, *values))
            moves.append((values[1] - values[0]) / (high - low))
    assert len(moves) > 10 and sum(abs(move) < 2 * STEP for move in moves) > 0.8 * len(moves)


def test_before_any_result_it_stays_near_the_first(tmp_path: Path) -> None:
    task = task_of("local")
    ledger = new_study(tmp_path, task)
    [first, *_] = [task.space.parameters(candidate) for candidate in task.space.portfolio()]
    ledger.enqueue(first)
    fresh = factory(task, "local")
    ledger.propose(task.space, fresh)
    proposed = task.space.parameters(ledger.propose(task.space, fresh).candidate)
    assert 1 <= len(changed(first, proposed)) <= CHANGES


def test_with_nothing_to_stay_near_it_draws_at_random(tmp_path: Path) -> None:
    task = task_of("local")
    ledger = new_study(tmp_path, task)
    assert imagine(ledger, task.space, factory(task, "local"), smooth)


def test_what_the_space_no_longer_allows_is_drawn_anew(tmp_path: Path) -> None:
    ledger, _, queued = begun(tmp_path)
    name = next(name for name in queued[1] if name == "recipe.batch_size")
    other = next(value for value in (64, 256) if value != queued[1][name])
    space = SearchSpace(image=IMAGE, epochs=WHOLE.epochs, overrides={name: {"choices": [other]}})
    ledger.adopt_space(space)
    narrowed = SamplingTask(space=space)
    proposal = ledger.propose(space, factory(narrowed, "local"))
    assert proposal.candidate[1].batch_size == other


def test_several_objectives_are_not_for_it() -> None:
    with pytest.raises(ConfigError, match="several objectives"):
        samplers.get("local")(SamplingTask(space=WHOLE, num_objectives=2))
