"""Library: the trials that an ensemble may be made of.

Shapes: M candidates, N images, K classes. A strategy, which chooses among them, is a pure function of the library,
registered with ``@selectors.register(NAME)``.

    from convscout.services.plugins import selectors

    @selectors.register("best-alone")
    def best_alone(library):
        return {0: 1.0}
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from convscout.search_space.errors import ConvscoutError, UserError
from convscout.services.config.study_config import StudyConfig
from convscout.services.config.units import format_bytes, format_count
from convscout.services.ensembles.combination import combine
from convscout.services.ensembles.ensemble import BEST, NetworkView, Score
from convscout.services.ensembles.temperature import fit_temperature, temper
from convscout.trials.data.splits import Labels
from convscout.trials.evaluation.metrics import (
    Probabilities,
    accuracy,
    balanced_accuracy,
    calibration_error,
    macro_f1,
)
from convscout.trials.evaluation.views import PLAIN

LIBRARY = 64  # candidates that are looked at; more of them cost time and invite overfitting
FLOOR = 0.5  # of the best accuracy; what knows much less only shifts answers to fit the validation images
_BYTES = 4  # of a parameter, as exports are in float32
TEMPERATURE_IMAGES = 2_000  # that a temperature is told from when there are many to tell

Weights: TypeAlias = Mapping[int, float]
"""Shares by the index of a candidate; they sum to 1."""


class LogWeights(dict[int, float]):
    """Shares in the mean of logarithms, to which the ``biases`` (K,) of the classes are added."""

    def __init__(self, shares: Weights, *, biases: tuple[float, ...]) -> None:
        super().__init__(shares)
        self.biases = biases


@dataclass(frozen=True, kw_only=True, eq=False)
class Member(NetworkView):
    """A candidate: a network and its ``probabilities`` (N, K) on the validation images.

    One image takes it ``latency_s``, where that was measured.
    """

    probabilities: Probabilities
    family: str = ""
    params: int = 0
    latency_s: float = 0.0
    temperature: float = 1.0

    @property
    def usual(self) -> bool:
        """Whether it is the trial as it was judged while it trained."""
        return (self.network, self.view) == (BEST, PLAIN)


@dataclass(frozen=True, kw_only=True)
class EnsembleLimits:
    """What all members of an ensemble together may be: ``size`` counts them, ``latency`` is in seconds an image."""

    size: int
    params: int | None = None
    bytes: int | None = None
    latency: float | None = None

    @classmethod
    def of(cls, config: StudyConfig) -> Self:
        """What a study asks for."""
        return cls(
            size=config.ensemble_size,
            params=config.ensemble_max_params,
            bytes=config.ensemble_max_bytes,
            latency=config.ensemble_max_latency,
        )

    def allow(self, members: Collection[Member]) -> bool:
        """Whether these make an ensemble within all limits, in which no network has two views."""
        networks = {(member.number, member.network) for member in members}
        return len(networks) == len(members) <= self.size and self._afford(members)

    def check(self, candidates: Sequence[Member]) -> None:
        """Raise ``UserError`` when not even the cheapest of ``candidates`` is within the limits."""
        if any(self._afford([candidate]) for candidate in candidates):
            return
        params = min(candidate.params for candidate in candidates)
        latency_s = min(candidate.latency_s for candidate in candidates)
        cheapest = f"the smallest has {format_count(params)} parameters ({format_bytes(_BYTES * params)})"
        if self.latency is not None:
            cheapest += f", the fastest takes {1000 * latency_s:.3g} ms"
        raise UserError(f"no trial fits into the limits of the ensemble: {cheapest}; raise the limit")

    def _afford(self, members: Collection[Member]) -> bool:
        params = sum(member.params for member in members)
        latency_s = sum(member.latency_s for member in members)
        return (
            (self.params is None or params <= self.params)
            and (self.bytes is None or _BYTES * params <= self.bytes)
            and (self.latency is None or latency_s <= self.latency)
        )


Rank: TypeAlias = tuple[float, float]
"""Larger is better: by the objective, then by likelihood."""

# Of probabilities and labels, larger being better.
_UTILITY: Mapping[str, Callable[[Probabilities, Labels, Score], float]] = {
    "accuracy": lambda answers, labels, score: score.accuracy,
    "balanced_accuracy": lambda answers, labels, score: balanced_accuracy(answers, labels),
    "macro_f1": lambda answers, labels, score: macro_f1(answers, labels),
    "nll": lambda answers, labels, score: -score.nll,
    "calibration_error": lambda answers, labels, score: -calibration_error(answers, labels),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Library:
    """Candidates, best first, each within ``limits`` by itself; true ``labels`` (N,); the study's ``objective``.

    ``single`` is what the best of them is worth alone and as it was trained, before it was calibrated.
    """

    candidates: tuple[Member, ...]
    labels: Labels
    limits: EnsembleLimits
    objective: str
    single: Score

    @classmethod
    def of(
        cls, candidates: Iterable[Member], labels: Labels, limits: EnsembleLimits, objective: str = "accuracy"
    ) -> Library:
        """The best of ``candidates``, of which there is at least one, calibrated; the best of each family among them.

        Raises ``ConvscoutError`` for one whose probabilities are not finite, and ``UserError`` when none is within the
        limits.
        """
        found = list(candidates)
        for candidate in found:
            _check(candidate, labels)
        limits.check(found)
        able = [each for each in found if limits.allow([each])]
        ranks = {each.name: _rank(each.probabilities, labels, objective) for each in able}
        able.sort(key=lambda each: (ranks[each.name], each.usual, -each.number), reverse=True)
        kept = shortlist([each.family for each in able])
        accuracies = {index: accuracy(able[index].probabilities, labels) for index in kept}
        floor = FLOOR * max(accuracies.values())
        return cls(
            candidates=tuple(_calibrate(able[index], labels) for index in kept if accuracies[index] >= floor),
            labels=labels,
            limits=limits,
            objective=objective,
            single=Score.of(next((e for e in able if e.usual), able[0]).probabilities, labels),
        )

    def __len__(self) -> int:
        return len(self.candidates)

    def within(self, limits: EnsembleLimits) -> Library:
        """The candidates that are within other, narrower ``limits`` by themselves. Raises ``UserError`` if none is."""
        limits.check(self.candidates)
        kept = tuple(each for each in self.candidates if limits.allow([each]))
        return replace(self, candidates=kept, limits=limits)

    def of_images(self, images: npt.NDArray[np.intp]) -> Library:
        """The same candidates, in the same order, on some of the images."""
        return replace(
            self,
            candidates=tuple(
                replace(each, probabilities=each.probabilities[images]) for each in self.candidates
            ),
            labels=self.labels[images],
        )

    def answer(self, weights: Weights) -> Probabilities:
        """What the weighted candidates say together (N, K)."""
        answers = [self.candidates[index].probabilities for index in weights]
        return combine(answers, list(weights.values()), biases_of(weights))

    def rank(self, probabilities: Probabilities) -> Rank:
        """What such answers (N, K) are worth to the study."""
        return _rank(probabilities, self.labels, self.objective)

    def best(self, choices: Iterable[Weights]) -> Weights:
        """Of ``choices`` the one of the highest rank, of equals the first."""
        return max(choices, key=lambda weights: self.rank(self.answer(weights)))

    def fits(self, members: Iterable[int]) -> bool:
        """Whether the candidates of these indices are an ensemble within the limits."""
        return self.limits.allow([self.candidates[index] for index in members])

    def heads(self, most: int) -> list[list[int]]:
        """The best candidate, the best two, …, ``most`` at most; those beyond the limits are passed by."""
        chosen: list[int] = []
        for index in range(len(self)):
            if len(chosen) < most and self.fits([*chosen, index]):
                chosen.append(index)
        return [chosen[:size] for size in range(1, len(chosen) + 1)]

    @cached_property
    def image_weights(self) -> npt.NDArray[np.float32]:
        """What each image counts (N,): the same, or where classes count the same, more in a rare one."""
        counts = np.bincount(self.labels)
        by_class = self.objective in ("balanced_accuracy", "macro_f1")
        weights = 1 / counts[self.labels] if by_class else np.ones(len(self.labels))
        return weights.astype(np.float32)


Selector: TypeAlias = Callable[[Library], Weights]
"""One strategy."""


def biases_of(weights: Weights) -> tuple[float, ...]:
    """Of the classes (K,), if ``weights`` are those of logarithms."""
    return weights.biases if isinstance(weights, LogWeights) else ()


def shortlist(families: Sequence[str], most: int = LIBRARY) -> list[int]:
    """Which candidates a library holds, of these ``families``, best first: the best, and the best of each family."""
    first = {family: index for index, family in reversed(list(enumerate(families)))}
    leaders = sorted(first.values())[:most]
    others = [index for index in range(len(families)) if index not in set(leaders)]
    return sorted([*leaders, *others[: most - len(leaders)]])


def _rank(probabilities: Probabilities, labels: Labels, objective: str) -> Rank:
    score = Score.of(probabilities, labels)
    return _UTILITY[objective](probabilities, labels, score), -score.nll


def _calibrate(member: Member, labels: Labels) -> Member:
    temperature = fit_temperature(member.probabilities, labels, most=TEMPERATURE_IMAGES)
    return replace(member, probabilities=temper(member.probabilities, temperature), temperature=temperature)


def _check(candidate: Member, labels: Labels) -> None:
    answers = candidate.probabilities
    if answers.ndim != 2 or len(answers) != len(labels):
        raise ConvscoutError(
            f"trial {candidate.name} has validation probabilities of shape {answers.shape}, "
            f"but there are {len(labels)} validation images"
        )
    if not np.isfinite(answers).all():
        raise ConvscoutError(f"trial {candidate.name} has validation probabilities that are NaN or infinite")
