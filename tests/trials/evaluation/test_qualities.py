"""Epochs are judged by the quality that a study wants, whichever way is better."""

from __future__ import annotations

from dataclasses import replace

import pytest

from convscout.trials.config import Measurement
from convscout.trials.evaluation.qualities import QUALITIES
from tests.support.records import measurement


@pytest.fixture
def epochs() -> list[Measurement]:
    """Accuracy is best at epoch 2, the loss at epoch 1, calibration at epoch 3."""
    values = [(0.6, 0.9, 0.3), (0.8, 1.0, 0.2), (0.7, 1.1, 0.1)]
    return [
        replace(measurement(epoch, accuracy), val_loss=loss, val_calibration_error=error)
        for epoch, (accuracy, loss, error) in enumerate(values, 1)
    ]


@pytest.mark.parametrize(
    ("name", "epoch"), [("accuracy", 2), ("macro_f1", 2), ("nll", 1), ("calibration_error", 3)]
)
def test_the_best_epoch_is_the_objectives(name: str, epoch: int, epochs: list[Measurement]) -> None:
    best = QUALITIES[name].best(epochs)
    assert best is not None and best.epoch == epoch


def test_of_equal_epochs_the_first_is_best(epochs: list[Measurement]) -> None:
    best = QUALITIES["accuracy"].best([epochs[1], replace(epochs[1], epoch=3)])
    assert best is not None and best.epoch == 2
    assert QUALITIES["accuracy"].best([]) is None


def test_goodness_rises_with_what_is_better() -> None:
    worse, better = measurement(1), replace(measurement(1), val_loss=0.5)
    assert QUALITIES["nll"].utility(better) > QUALITIES["nll"].utility(worse)
    assert QUALITIES["nll"].text(0.5) == "0.5000" and QUALITIES["accuracy"].text(0.5) == "50.00%"
