"""Judging: what ensembles are worth on images that took no part in any choice, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from convscout.services.ensembles.combination import combine
from convscout.services.ensembles.ensemble import Ensemble, EnsembleMember
from convscout.services.ensembles.temperature import temper
from convscout.services.ensembles.trained import TrainedEnsemble
from convscout.services.evaluation.score_rows import SINGLE
from convscout.services.evaluation.scores import Evaluation
from convscout.trials.data.splits import LabelledImages
from convscout.trials.evaluation.metrics import (
    PairedDifference,
    Probabilities,
)
from convscout.trials.evaluation.paired_test import paired_difference


@dataclass(frozen=True, kw_only=True)
class ServingCost:
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
    answers: dict[str, Probabilities] = {}
    class_names: tuple[str, ...] = ()
    for ensemble in ensembles.values():
        for member in ensemble.members:
            if member.name not in answers:
                alone = trained(alone_with(ensemble, member))
                answers[member.name] = alone.build_module().answer(images.images)
                class_names = alone.class_names
    answers = {name: _together(each, answers) for name, each in ensembles.items()}
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


def _together(ensemble: Ensemble, answers: Mapping[str, Probabilities]) -> Probabilities:
    tempered = [temper(answers[member.name], member.temperature) for member in ensemble.members]
    mean = combine(tempered, [member.weight for member in ensemble.members], ensemble.biases)
    return temper(mean, ensemble.temperature)
