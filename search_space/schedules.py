"""Learning-rate schedules: pure functions of progress, so that a resumed trial needs no state.

A schedule maps ``progress`` in [0, 1], the share of all training steps already done, or of the time where that
ends sooner, to the factor in [0, 1] that multiplies the peak learning rate. Warm-up comes before it and is the
same for all but those that rise by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float], float]

SCHEDULES: dict[str, Schedule] = {}
RISING = ("one_cycle",)  # schedules that bring their own warm-up


def schedule(name: str) -> Callable[[Schedule], Schedule]:
    """Decorator: make a schedule known as ``name``."""

    def add(function: Schedule) -> Schedule:
        SCHEDULES[name] = function
        return function

    return add


@schedule("constant")
def constant(progress: float) -> float:
    """The peak throughout."""
    return 1.0


@schedule("cosine")
def cosine(progress: float) -> float:
    """Half a cosine down to zero (Loshchilov & Hutter, 2017, section 3, without restarts)."""
    return 0.5 * (1 + math.cos(math.pi * progress))


@schedule("linear")
def linear(progress: float) -> float:
    """A straight line down to zero."""
    return 1.0 - progress


@schedule("step")
def step(progress: float) -> float:
    """A tenth after a half and again after three quarters (He et al., 2016, section 4.2)."""
    return 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01


@schedule("exponential")
def exponential(progress: float) -> float:
    """The same share lost in every step, down to a hundredth."""
    return math.pow(0.01, progress)


@schedule("one_cycle")
def one_cycle(progress: float) -> float:
    """Up from 1/25 over three tenths, then down to zero, both along a cosine.

    Smith & Topin (2019), "Super-Convergence", in the shape and with the proportions of torch's ``OneCycleLR``.
    """
    if progress < 0.3:
        return 1 - 0.96 * cosine(progress / 0.3)
    return cosine((progress - 0.3) / 0.7)


@schedule("cosine_restarts")
def cosine_restarts(progress: float) -> float:
    """Three cosines down to zero, each twice as long as the last (Loshchilov & Hutter, 2017, section 3)."""
    sevenths = 7 * progress
    start, length = (0, 1) if sevenths < 1 else (1, 2) if sevenths < 3 else (3, 4)
    return cosine((sevenths - start) / length)


def factor_at(name: str, progress: float, *, warmup: float) -> float:
    """The learning-rate factor of schedule ``name``, rising linearly over the first ``warmup`` share.

    A schedule that rises by itself has no other warm-up.
    """
    if name in RISING:
        return SCHEDULES[name](progress)
    if progress < warmup:
        return progress / warmup
    return SCHEDULES[name]((progress - warmup) / (1 - warmup))
