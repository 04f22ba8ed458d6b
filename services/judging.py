"""Judging: what ensembles are worth on images that took no part in any choice, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from services.ensembles.ensemble import Ensemble, EnsembleMember, combine
from services.ensembles.temperature import tempered
from services.ensembles.trained import TrainedEnsemble
from services.evaluation import Evaluation
from services.units import format_count
from trials.metrics import PairedDifference, Probabilities, paired_difference, wilson_interval
from trials.splits import LabelledImages

SINGLE, TOP_K, ENSEMBLE, REFITTED = "best single", "top-k mean", "ensemble", "refit"
UNCALIBRATED = "ensemble before calibration"


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """``accuracy`` of ``name`` on a ``split`` of ``images`` images, with its 95 % Wilson interval.

    ``nll`` is the mean log loss in nats. ``params`` is of all networks together, ``latency_s`` what they take for one
    image on one core. What was not measured is None.
    """

    name: str
    split: str
    accuracy: float
    low: float
    high: float
    images: int
    nll: float | None = None
    calibration_error: float | None = None
    params: int | None = None
    latency_s: float | None = None

    @classmethod
    def of(
        cls,
        name: str,
        split: str,
        share: float,
        images: int,
        *,
        nll: float | None = None,
        calibration_error: float | None = None,
    ) -> ScoreRow:
        """The row for ``share`` of ``images`` answered rightly, and other scores."""
        low, high = wilson_interval(round(share * images), images)
        return cls(
            name=name,
            split=split,
            accuracy=share,
            low=low,
            high=high,
            images=images,
            nll=nll,
            calibration_error=calibration_error,
        )

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """Accuracy, its interval, log loss and calibration error, as tables show them."""
        return (
            f"{self.accuracy:.2%}",
            f"{self.low:.2%} – {self.high:.2%}",
            "" if self.nll is None else f"{self.nll:.4f}",
            "" if self.calibration_error is None else f"{self.calibration_error:.2%}",
        )

    @property
    def cost_cells(self) -> tuple[str, str]:
        """Parameters and latency, as tables show them."""
        return (
            "" if self.params is None else format_count(self.params),
            "" if self.latency_s is None else f"{1000 * self.latency_s:.2g} ms",
        )

    @classmethod
    def measured(cls, name: str, split: str, found: Evaluation) -> ScoreRow:
        """The row for what was ``found`` of answers to a ``split``."""
        return cls.of(
            name,
            split,
            found.accuracy,
            found.images,
            nll=found.nll,
            calibration_error=found.calibration_error,
        )


def gain_text(gain: PairedDifference, over: str = "") -> str:
    """``gain``, ``over`` whomever it is, for a person."""
    return (
        f"{100 * gain.difference:+.2f} points{over} "
        f"(95 %: {100 * gain.low:+.2f} to {100 * gain.high:+.2f}; McNemar p = {gain.p_value:.2g})"
    )


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a network costs: its parameters, and seconds for one image."""

    params: int
    latency_s: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Judgement:
    """What ``ensembles`` are worth, by name: their ``answers`` (N, K) to ``images``, and ``evaluations`` of these.

    ``gains`` is by how much each is worth more than the best single network.
    """

    images: LabelledImages
    answers: Mapping[str, Probabilities]
    evaluations: Mapping[str, Evaluation]
    ensembles: Mapping[str, Ensemble] = field(default_factory=dict)
    gains: Mapping[str, PairedDifference] = field(default_factory=dict)


def judge(
    ensembles: Mapping[str, Ensemble], images: LabelledImages, trained: Callable[[Ensemble], TrainedEnsemble]
) -> Judgement:
    """What ``ensembles``, of which one is the best single network, answer to ``images``.

    Each network is asked once, whatever it is a member of; ``trained`` loads it.
    """
    said: dict[str, Probabilities] = {}
    class_names: tuple[str, ...] = ()
    for ensemble in ensembles.values():
        for member in ensemble.members:
            if member.name not in said:
                alone = trained(alone_with(ensemble, member))
                said[member.name] = alone.build_module().answer(images.images)
                class_names = alone.class_names
    answers = {name: _together(each, said) for name, each in ensembles.items()}
    evaluations = {name: Evaluation.of(each, images.labels, class_names) for name, each in answers.items()}
    single = answers[SINGLE]
    gains = {
        name: paired_difference(each, single, images.labels)
        for name, each in answers.items()
        if each is not single
    }
    return Judgement(
        ensembles=ensembles, images=images, answers=answers, evaluations=evaluations, gains=gains
    )


def alone_with(ensemble: Ensemble, member: EnsembleMember) -> Ensemble:
    """What ``member`` says by itself, uncalibrated."""
    single = replace(member, weight=1.0, temperature=1.0)
    return replace(ensemble, members=(single,), temperature=1.0, biases=())


def uncalibrated(ensemble: Ensemble) -> Ensemble:
    """The same members with the same weights, before any temperature."""
    members = tuple(replace(member, temperature=1.0) for member in ensemble.members)
    return replace(ensemble, members=members, temperature=1.0)


def _together(ensemble: Ensemble, said: Mapping[str, Probabilities]) -> Probabilities:
    answers = [tempered(said[member.name], member.temperature) for member in ensemble.members]
    mean = combine(answers, [member.weight for member in ensemble.members], ensemble.biases)
    return tempered(mean, ensemble.temperature)
