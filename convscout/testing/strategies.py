"""Kits for what decides in a study: samplers, pruners and selectors of ensembles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from optuna.study import StudyDirection

from convscout.search_space.errors import ExhaustedError
from convscout.search_space.space import SearchSpace
from convscout.services.ensembles.library import EnsembleLimits, Library, Member, Selector
from convscout.services.pruners.base import Pruner
from convscout.services.pruners.curves import Curve, Curves
from convscout.services.samplers.base import Sampling, SamplingTask


def check_pruner(make: Callable[[], Pruner]) -> None:
    """What ``make`` gives decides by the curves alone, whoever is asked first and however often."""
    rng = np.random.default_rng(0)
    curves = [
        Curve(
            number=number,
            family=("lenet", "resnet")[number % 2],
            epochs=8,
            values=tuple(map(float, np.sort(rng.uniform(size=rng.integers(1, 8))))),
            costs=(float(number),),
        )
        for number in range(24)
    ]
    known, pruner = Curves(curves), make()
    answers = {}
    for curve in curves:
        answer = pruner.stops(curve, known.rivals(curve.number))
        assert answer in (True, False), f"it answers {answer!r}, not whether a trial is to stop"
        answers[curve.number] = bool(answer)
        pruner.stops(curve, known.rivals(curve.number).nobody)  # the first trial of a study has no rivals
    fresh, later = make(), Curves(reversed(curves))
    for curve in reversed(curves):
        again = bool(fresh.stops(curve, later.rivals(curve.number)))
        assert again == answers[curve.number], f"trial {curve.number}: {again} in another order"


def check_sampler(
    sampler: Callable[[SamplingTask], Sampling], space: SearchSpace, num_objectives: int = 1
) -> None:
    """``sampler`` proposes candidates of ``space``, the same of the same trials and seed, until there are no more."""
    task = SamplingTask(space=space, num_objectives=num_objectives)
    directions = [StudyDirection.MAXIMIZE, *[StudyDirection.MINIMIZE] * (num_objectives - 1)]
    kept = sampler(task).fresh
    study = optuna.create_study(directions=directions)
    for number in range(12):
        proposed = []
        for fresh in (kept, sampler(task).fresh):
            copied = optuna.create_study(directions=directions)
            copied.add_trials(study.get_trials())
            try:
                copied.sampler = fresh(copied, number)
            except ExhaustedError:
                assert number, "it proposes nothing"
                return
            trial = copied.ask()
            architecture, _ = space.suggest(trial)
            assert architecture.family in space.families, f"{architecture.family} is none of its families"
            proposed.append((trial.params, trial.distributions))
        assert proposed[0] == proposed[1], f"proposal {number} differs although trials and seed are the same"
        params, distributions = proposed[0]
        values = [number % 5 / 5, *[float(number)] * (num_objectives - 1)]
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, values=values))


def check_selector(selector: Selector) -> None:
    """``selector`` answers with shares that sum to 1, of candidates within the limits, the same each time."""
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=80)
    for size, params in ((1, None), (3, None), (5, 250)):
        library = Library.of(
            _candidates(rng, labels), labels, EnsembleLimits(size=size, params=params), "accuracy"
        )
        found = selector(library)
        assert found and all(0 <= index < len(library) for index in found), f"{dict(found)} are no candidates"
        assert all(share > 0 for share in found.values()), f"{dict(found)} has shares of nothing"
        assert abs(sum(found.values()) - 1) < 1e-4, f"{dict(found)} do not sum to 1"
        assert library.fits(found), f"{dict(found)} is beyond the limits"
        answers = library.answer(found)
        assert np.isfinite(answers).all() and answers.shape == (80, 4), "the answers are no probabilities"
        assert selector(library) == found, "it answers otherwise the second time"


def _candidates(rng: np.random.Generator, labels: np.ndarray[Any, Any]) -> list[Member]:
    """Eight candidates that are right about half of the time, each in its own way."""
    found = []
    for number in range(8):
        scores = rng.normal(size=(len(labels), 4)) + 1.2 * np.eye(4)[labels]
        answers = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        found.append(
            Member(number=number, probabilities=answers.astype(np.float32), family="lenet", params=100)
        )
    return found
