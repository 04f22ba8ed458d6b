"""The ensemble of a study: its members and their weights. Shapes: N images, K classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from convscout.trials.data.splits import Labels
from convscout.trials.evaluation.metrics import IntervalEstimate, Probabilities, accuracy, nll
from convscout.trials.evaluation.views import PLAIN

BEST = "best"  # of the networks that a trial keeps, that of its best epoch


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkView:
    """One of the networks of the trial ``number``, by name, and how it sees an image (``trials/evaluation/tta.py``)."""

    number: int
    network: str = BEST
    view: str = PLAIN

    @property
    def name(self) -> str:
        """For a person: the trial's number, and what is unusual."""
        unusual = [each for each, usual in ((self.network, BEST), (self.view, PLAIN)) if each != usual]
        return " ".join([str(self.number), *unusual])


@dataclass(frozen=True, kw_only=True)
class EnsembleMember(NetworkView):
    """A network, its share of the ensemble's answer, and the temperature that its own is divided by."""

    weight: float
    temperature: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Score:
    """Accuracy in [0, 1] and mean negative log likelihood in nats, on the validation images."""

    accuracy: float
    nll: float

    @classmethod
    def of(cls, probabilities: Probabilities, labels: Labels) -> Self:
        """What ``probabilities`` (N, K) are worth."""
        return cls(accuracy=accuracy(probabilities, labels), nll=nll(probabilities, labels))


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """The selected members, heaviest first, with weights that sum to 1.

    Their mean is divided by ``temperature`` in turn: of probabilities, or of logarithms where there are ``biases``
    of the classes. ``single`` is the score of the best candidate alone. ``strategy`` selected them, and ``reason``
    says why that one, if it was chosen among several. ``unseen`` is then the accuracy of what it selects on images that
    it did not select by; ``score`` is of those that it did.
    """

    members: tuple[EnsembleMember, ...]
    score: Score
    single: Score
    temperature: float = 1.0
    strategy: str = "greedy"
    reason: str = ""
    biases: tuple[float, ...] = ()
    # what is known of an ensemble is no part of it: one that was selected before this was measured is the same
    unseen: IntervalEstimate | None = field(default=None, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``."""
        parts = {
            "members": tuple(EnsembleMember(**member) for member in values["members"]),
            "score": Score(**values["score"]),
            "single": Score(**values["single"]),
            "biases": tuple(values.get("biases", ())),
            "unseen": IntervalEstimate(**values["unseen"]) if values.get("unseen") else None,
        }
        return cls(**{**values, **parts})
