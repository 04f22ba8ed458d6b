"""Refitting: the members of an ensemble trained once more, on the training and validation images together.

What chose them has had its say, so that the images that it was told by can be learnt from, too. Several seeds of each
differ by chance alone, and their mean is better than one (Lakshminarayanan et al., 2017, "Simple and scalable
predictive uncertainty estimation using deep ensembles", section 2.4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from convscout.services.ensembles.ensemble import Ensemble, EnsembleMember
from convscout.services.ensembles.networks import refit_directory, refit_name
from convscout.services.ledger.ledger import Ledger
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.studies.extra_trainings import Training
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.compute.seeding import STRIDE
from convscout.trials.data.batches import TrainingData
from convscout.trials.data.splits import LabelledImages


def refit_data(data: TrainingData) -> TrainingData:
    """``data`` with the validation images among those to train on."""
    return replace(data, train=LabelledImages.joined([data.train, data.validation]))


def refit_trainings(ledger: Ledger, ensemble: Ensemble, data: TrainingData, seeds: int) -> list[Training]:
    """Each network of ``ensemble`` with as many ``seeds``: the first of each, the heaviest first, then the second …"""
    growth = (len(data.train) + len(data.validation)) / len(data.train)
    return [
        _training(ledger, ledger.trial(number), seed, growth)
        for seed in range(1, seeds + 1)
        for number in _numbers(ensemble)
    ]


def refit(ledger: Ledger, ensemble: Ensemble, seeds: int) -> Ensemble:
    """``ensemble`` with each member replaced by the networks that were trained for it, if any; they share its weight.

    Temperatures stay what they were, as there are no images left to tell others by.
    """
    members = [
        EnsembleMember(
            number=member.number,
            weight=member.weight / len(done),
            temperature=member.temperature,
            network=refit_name(seed),
            view=member.view,
        )
        if seed
        else member
        for member in _merge(ensemble.members)
        for done in [_seeds_done(ledger, member.number, seeds)]
        for seed in done
    ]
    return replace(ensemble, members=tuple(members))


def _merge(members: Sequence[EnsembleMember]) -> list[EnsembleMember]:
    """One for each trial: two networks of one training become one when it is repeated."""
    heaviest: dict[int, EnsembleMember] = {}
    for member in members:
        known = heaviest.get(member.number)
        heaviest[member.number] = replace(known, weight=known.weight + member.weight) if known else member
    return list(heaviest.values())


def _seeds_done(ledger: Ledger, number: int, seeds: int) -> list[int]:
    """The seeds with which the trial was trained again; [0] when with none."""
    directory = TrialDirectory(ledger.ref.trial(number))
    found = [seed for seed in range(1, seeds + 1) if refit_directory(directory, seed).finished]
    return found or [0]


def _numbers(ensemble: Ensemble) -> list[int]:
    return [member.number for member in _merge(ensemble.members)]


def _training(ledger: Ledger, record: TrialRecord, seed: int, growth: float) -> Training:
    assert record.config is not None
    last = record.measurements[-1]
    own = (record.config.seed + seed * STRIDE) % 2**31
    recipe = record.config.recipe.with_epochs(record.epochs)  # which the time may have ended
    return Training(
        name=f"trial {record.number} refitted with seed {seed}",
        config=replace(record.config, recipe=recipe, seed=own, images_share=1.0),
        directory=refit_directory(TrialDirectory(ledger.ref.trial(record.number)), seed),
        epoch_s=growth * last.elapsed_s / last.epoch if last.epoch else math.inf,
        keep_last=True,
    )
