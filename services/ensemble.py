"""Which trials to combine, and with what weights: greedy ensemble selection.

Caruana, Niculescu-Mizil, Crew, Ksikes (2004), "Ensemble selection from libraries of models":
forward selection with replacement (section 2.1) from a sorted initialisation (section 2.2). Before it,
the library is pruned to its best candidates, as in Caruana, Munson, Niculescu-Mizil (2006), "Getting
the most out of ensemble selection". Shapes: M candidates, N images, K classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from search_space.errors import ConvscoutError
from trials.metrics import Probabilities, accuracy, log_losses, nll
from trials.splits import Labels

LIBRARY = 200  # candidates that selection looks at; more of them cost time and invite overfitting
FLOOR = 0.5  # of the best accuracy; what knows much less only shifts answers to fit the validation images
ROUNDS = 25  # draws with replacement, so weights are multiples of at least 1/25


@dataclass(frozen=True, kw_only=True, eq=False)
class Member:
    """A candidate: the trial ``number`` and its ``probabilities`` (N, K) on the validation images."""

    number: int
    probabilities: Probabilities


@dataclass(frozen=True, kw_only=True)
class EnsembleMember:
    """A trial and its share of the ensemble's answer."""

    number: int
    weight: float


@dataclass(frozen=True, kw_only=True)
class Score:
    """Accuracy in [0, 1] and mean negative log likelihood in nats, on the validation images."""

    accuracy: float
    nll: float

    @classmethod
    def of(cls, probabilities: Probabilities, labels: Labels) -> Self:
        """What ``probabilities`` (N, K) are worth."""
        return cls(accuracy=accuracy(probabilities, labels), nll=nll(probabilities, labels))

    @property
    def rank(self) -> tuple[float, float]:
        """Larger is better: accuracy, then likelihood."""
        return (self.accuracy, -self.nll)


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """The selected members, heaviest first, with weights that sum to 1.

    ``single`` is the score of the best candidate alone; ``score`` never ranks below it.
    """

    members: tuple[EnsembleMember, ...]
    score: Score
    single: Score

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``."""
        return cls(
            members=tuple(EnsembleMember(**member) for member in values["members"]),
            score=Score(**values["score"]),
            single=Score(**values["single"]),
        )


def select(
    candidates: Sequence[Member], labels: Labels, *, max_members: int, rounds: int = ROUNDS
) -> Ensemble:
    """The weighted mean of at most ``max_members`` candidates that does best on the validation images.

    Best is the highest accuracy, then the lowest log loss. ``labels`` (N,) are the true classes. Of all
    steps on the way, the best is the answer, so it never ranks below the best candidate alone. Raises
    ``ConvscoutError`` when there is no candidate, or one whose probabilities are not finite.
    """
    assert max_members >= 1 and rounds >= 1, (max_members, rounds)
    if not candidates:
        raise ConvscoutError("no finished trial to build an ensemble from; give the search a larger budget")
    for candidate in candidates:
        _check(candidate, labels)
    scored = [(Score.of(candidate.probabilities, labels), candidate) for candidate in candidates]
    scored.sort(key=lambda pair: (-pair[0].accuracy, pair[0].nll, pair[1].number))
    floor = FLOOR * scored[0][0].accuracy
    library = [candidate for score, candidate in scored[:LIBRARY] if score.accuracy >= floor]
    path = _search(library, labels, max_members, rounds)
    score, counts = max(path, key=lambda step: step[0].rank)  # of equals the first, which is the smallest
    total = counts.total()
    members = tuple(
        EnsembleMember(number=library[index].number, weight=count / total)
        for index, count in counts.most_common()
    )
    return Ensemble(members=members, score=score, single=scored[0][0])


def combine(probabilities: Sequence[Probabilities], weights: Sequence[float]) -> Probabilities:
    """The weighted mean of M answers, each (N, K)."""
    total = np.zeros_like(probabilities[0])
    for weight, answer in zip(weights, probabilities, strict=True):
        total += np.float32(weight) * answer
    return total


def _check(candidate: Member, labels: Labels) -> None:
    answers = candidate.probabilities
    if answers.ndim != 2 or len(answers) != len(labels):
        raise ConvscoutError(
            f"trial {candidate.number} has validation probabilities of shape {answers.shape}, "
            f"but there are {len(labels)} validation images"
        )
    if not np.isfinite(answers).all():
        raise ConvscoutError(
            f"trial {candidate.number} has validation probabilities that are NaN or infinite"
        )


def _search(
    library: Sequence[Member], labels: Labels, max_members: int, rounds: int
) -> list[tuple[Score, Counter[int]]]:
    """The score of every step, and how often each index of ``library``, best first, was drawn by then."""
    # half the slots at most, so that the other half can go to candidates that differ from the best
    heads = range(1, min(len(library), max(1, max_members // 2)) + 1)
    path = [_step(library, labels, Counter(range(size))) for size in heads]
    counts = max(path, key=lambda step: step[0].rank)[1]
    votes = _Votes(library, labels)
    while counts.total() < rounds:
        eligible = range(len(library)) if len(counts) < max_members else sorted(counts)
        counts = counts + Counter([votes.best_addition(counts, np.array(eligible))])
        path.append(_step(library, labels, counts))
    return path


def _step(library: Sequence[Member], labels: Labels, counts: Counter[int]) -> tuple[Score, Counter[int]]:
    answers = [library[index].probabilities for index in counts]
    weights = [count / counts.total() for count in counts.values()]
    return Score.of(combine(answers, weights), labels), counts


class _Votes:
    """What each candidate would add to an ensemble, fast enough to ask of all of them in every round.

    An image is answered rightly when the true class leads every other. Leads add up like probabilities
    do, and with the classes as the outer axis their minimum is taken over whole rows of images.
    """

    def __init__(self, library: Sequence[Member], labels: Labels) -> None:
        images = np.arange(len(labels))
        num_classes = library[0].probabilities.shape[1]
        self._likelihoods = np.stack([m.probabilities[images, labels] for m in library])  # (M, N)
        self._leads = np.empty((len(library), num_classes, len(labels)), dtype=np.float32)  # (M, K, N)
        for lead, member, likelihood in zip(self._leads, library, self._likelihoods, strict=True):
            np.subtract(likelihood, member.probabilities.T, out=lead)
            lead[labels, images] = np.inf  # the true class does not compete with itself

    def best_addition(self, counts: Counter[int], eligible: npt.NDArray[np.intp]) -> int:
        """The index in ``eligible`` that, drawn once more, makes the best ensemble of ``counts``."""
        present, times = list(counts), np.array(list(counts.values()), dtype=np.float32)
        leads = np.tensordot(times, self._leads[present], axes=1)  # (K, N)
        right = np.array([np.count_nonzero((leads + self._leads[i]).min(axis=0) > 0) for i in eligible])
        tied = eligible[right == right.max()]
        likelihood = times @ self._likelihoods[present]  # (N,)
        mean = (likelihood + self._likelihoods[tied]) / (counts.total() + 1)  # (tied, N)
        return int(tied[log_losses(mean).mean(axis=1).argmin()])
