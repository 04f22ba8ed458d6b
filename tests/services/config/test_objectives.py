"""A study makes best what it is told to, and finds the front of several objectives."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from optuna.study import StudyDirection

from convscout.search_space.errors import ConfigError
from convscout.services.config.home import Home
from convscout.services.config.objectives import Objectives
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies import run
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.config import TrialState
from tests.support.studies import bundle_alone, quiet, tiny_config


def test_directions() -> None:
    assert Objectives(("nll", "latency")).directions == [StudyDirection.MINIMIZE] * 2
    assert Objectives(("accuracy",)).directions == [StudyDirection.MAXIMIZE]


@pytest.mark.parametrize(
    "names", ["params", "accuracy,nll", "latency,accuracy", "accuracy,params,params", "speed"]
)
def test_a_quality_comes_first_and_costs_follow(names: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tiny_config(objective=names)
    [problem] = caught.value.problems
    assert problem.field == "study.objective"


@pytest.mark.slow
@bundle_alone()
def test_a_study_of_accuracy_and_costs_has_a_front(tmp_path: Path) -> None:
    config = tiny_config(
        objective="accuracy,params,latency",
        sampler="tpe",
        trials=4,
        epochs=3,
        pruner="median",
        space={"recipe.batch_size": 256, "lenet.width": {"low": 4, "high": 16}},
    )
    outcome = run.search(config, Home(tmp_path), quiet, time.time())
    ledger = Ledger.open(Home(tmp_path).study("tiny"))
    judged = [record for record in ledger.trials() if record.state.scored]
    assert len(judged) == 4
    for record in judged:
        assert record.complexity and record.costs["params"] == record.complexity.params
        assert 0 < record.costs["latency"] < 1
    front = {record.number for record in ledger.front()}
    assert outcome.best in front  # nothing is more accurate than the best, or as accurate and cheaper


@pytest.mark.slow
@bundle_alone()
def test_the_objective_decides_which_epoch_and_which_trial_is_best(tmp_path: Path) -> None:
    config = tiny_config(objective="nll", epochs=3)
    outcome = run.search(config, Home(tmp_path), quiet, time.time())
    completed = [
        record
        for record in Ledger.open(Home(tmp_path).study("tiny")).trials()
        if record.state is TrialState.COMPLETED
    ]
    for record in completed:
        assert record.best and record.best.val_loss == min(m.val_loss for m in record.measurements)
        assert f"best-{record.best.epoch:04d}" in str(
            TrialDirectory(Home(tmp_path).study("tiny").trial(record.number)).best_file()
        )
    assert outcome.best == min(completed, key=lambda record: record.score or 0.0).number
