"""Averages of weights over the steps of training: pure functions of progress, as schedules are."""

from __future__ import annotations

AVERAGINGS = ("none", "ema", "swa")
SWA_START = 0.75  # share of all steps after which weights are averaged


def averaging_rate(kind: str, step: int, num_steps: int, *, decay: float) -> float:
    """How far the average moves towards the weights after ``step`` (from 1) of ``num_steps``, in (0, 1].

    "ema" forgets by ``decay`` a step; less in the beginning, else short trainings would remember
    their random start (the rule of TensorFlow's ``ExponentialMovingAverage``). "swa" follows the
    weights up to ``SWA_START`` and then takes the mean of all that come: Izmailov et al. (2018),
    "Averaging Weights Leads to Wider Optima and Better Generalization", algorithm 1, with a cycle of one step.
    """
    if kind == "ema":
        return 1 - min(decay, step / (step + 9))
    averaged = step - int(SWA_START * num_steps)
    return 1 / averaged if averaged > 1 else 1.0
