"""Trials of random candidates as a study would have trained them, for what is drawn or told of many."""

from __future__ import annotations

import datetime
from dataclasses import replace

import optuna

from convscout.search_space.architecture import ImageSpec
from convscout.search_space.complexity import Complexity
from convscout.search_space.space import SearchSpace
from convscout.services.ledger.trial_record import TrialRecord
from convscout.trials.config import TrialConfig, TrialState
from tests.support.recorded_study import BEGAN
from tests.support.records import record

_STATES = (TrialState.COMPLETED, TrialState.STOPPED, TrialState.COMPLETED, TrialState.FAILED)


def sampled_trials(
    count: int, *, objective: str = "accuracy", workers: int = 3, epochs: int = 4
) -> list[TrialRecord]:
    """Trials of random candidates of the whole space; the batch size decides what they are worth."""
    space = SearchSpace(
        image=ImageSpec(in_channels=3, image_size=16, num_classes=10),
        epochs=epochs,
        overrides={"recipe.batch_size": {"choices": [64, 128, 256]}},
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    records = []
    for number in range(count):
        architecture, recipe = space.suggest(study.ask())
        config = TrialConfig(
            number=number,
            attempt=1,
            dataset="0" * 64,
            architecture=architecture,
            recipe=recipe,
            seed=0,
            objective=objective,
        )
        good = 0.9 if recipe.batch_size == 64 else 0.5
        state = TrialState.RUNNING if number >= count - workers else _STATES[number % len(_STATES)]
        began = BEGAN + datetime.timedelta(seconds=10 * (number // workers))
        ended = began + datetime.timedelta(seconds=4 + number % 5)
        trained = record(number, *(good - 0.1 / epoch for epoch in range(1, epochs + 1)), state=state)
        records.append(
            replace(
                trained,
                plan=config.to_dict(),
                complexity=Complexity(params=1000 + 37 * number, flops=1, activations=1, peak_train_bytes=1),
                measurements=tuple(replace(m, val_loss=1 - m.val_accuracy) for m in trained.measurements),
                started_at=began,
                finished_at=None if state is TrialState.RUNNING else ended,
            )
        )
    return records
