"""Calibration makes answers as sure as they are right, and leaves which is first as it is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from convscout.services.ensembles.temperature import FLATTEST, SHARPEST, fit_temperature, temper
from convscout.trials.data.splits import Labels
from convscout.trials.evaluation.metrics import Probabilities, accuracy, calibration_error, nll


def _answers(sharpness: float, num_images: int = 4000, seed: int = 0) -> tuple[Probabilities, Labels]:
    """Classes drawn from known probabilities, which are told ``sharpness`` times too sharply."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.standard_normal((num_images, 5))
    truth = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(5, p=row) for row in truth])
    told = np.exp(sharpness * logits)
    return (told / told.sum(axis=1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.0, 3.0])
def test_finds_by_how_much_answers_are_too_sure(sharpness: float) -> None:
    answers, labels = _answers(sharpness)
    temperature = fit_temperature(answers, labels)
    assert temperature == pytest.approx(sharpness, rel=0.07)
    calibrated = temper(answers, temperature)
    assert calibration_error(calibrated, labels) < 0.03
    assert nll(calibrated, labels) <= nll(answers, labels) + 1e-4
    assert accuracy(calibrated, labels) == accuracy(answers, labels)


def test_no_other_temperature_loses_less() -> None:
    answers, labels = _answers(2.0)
    best = nll(temper(answers, fit_temperature(answers, labels)), labels)
    for temperature in np.geomspace(0.5, 5, 40):
        assert nll(temper(answers, float(temperature)), labels) >= best - 1e-4


def test_part_of_the_images_says_nearly_the_same() -> None:
    answers, labels = _answers(2.0)
    assert fit_temperature(answers, labels, most=1000) == pytest.approx(2.0, rel=0.15)


@pytest.mark.parametrize("right", [True, False])
def test_images_that_are_all_right_or_all_wrong_have_bounds(right: bool) -> None:
    labels = np.zeros(50, dtype=np.int64)
    answers = np.tile(np.float32([0.9, 0.1] if right else [0.1, 0.9]), (50, 1))
    temperature = fit_temperature(answers, labels)
    assert SHARPEST <= temperature <= FLATTEST
    assert (temperature < 1) == right


def test_answers_without_any_preference_stay_as_they_are() -> None:
    answers = np.full((20, 4), 0.25, np.float32)
    assert fit_temperature(answers, np.zeros(20, dtype=np.int64)) == 1.0


def test_impossible_classes_stay_finite() -> None:
    answers = np.tile(np.float32([1.0, 0.0]), (30, 1))
    labels = np.arange(30) % 2
    assert np.isfinite(temper(answers, fit_temperature(answers, labels))).all()


def test_certain_answers_of_which_some_are_wrong_are_made_to_doubt() -> None:
    """Their loss bends nowhere near a temperature of 1, which is far too sharp all the same."""
    answers = np.eye(3, dtype=np.float32)[np.zeros(100, dtype=np.intp)]
    labels = np.repeat([0, 1], [80, 20])
    assert fit_temperature(answers, labels) == FLATTEST
    assert nll(temper(answers, FLATTEST), labels) < nll(answers, labels) / 4


def test_nearly_certain_answers_find_the_temperature_that_a_search_does() -> None:
    rng = np.random.default_rng(1)
    logits = 40 * rng.standard_normal((500, 4))
    answers = softmax(logits, axis=1).astype(np.float32)
    labels = np.where(rng.random(500) < 0.995, logits.argmax(axis=1), rng.integers(4, size=500))
    logs = np.log(np.maximum(answers, np.finfo(np.float32).tiny)).astype(np.float64)
    doubt = 1 / 502

    def loss(temperature: float) -> float:
        told = log_softmax(logs / temperature, axis=1)
        return float(-(1 - doubt) * told[np.arange(500), labels].mean() - doubt * told.mean())

    best = minimize_scalar(loss, bounds=(SHARPEST, FLATTEST), method="bounded", options={"xatol": 1e-9}).x
    assert fit_temperature(answers, labels) == pytest.approx(best, rel=1e-5)
