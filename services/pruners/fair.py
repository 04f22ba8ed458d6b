"""Fairness: whom no pruner stops, however far behind others; the same for every pruner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convscout.services.pruners.base import Pruner
from convscout.services.pruners.curves import Curve, Floats, Rivals

HEAD_START = 3  # families compete after a third of a trial's epochs


@dataclass(frozen=True)
class Fair:
    """``pruner``, but it does not stop who is on the front, nor, fair ``by_family``, who leads its family early on.

    On the front, at this share of the epochs, is whom no rival equals in its value and all costs, which are known
    beforehand, and beats in one of them. Without costs that is the best alone.

    In the first third of its epochs a trial leads its family that no kin had surpassed by then. Deep networks start
    slowly, so each family's best goes on until it can be compared with shallow ones; from then on all compete. That
    costs little even in a family without hope, where records soon become rare: n trials have about ln n.
    ``benchmarks/fairness.py`` tells what it saves.
    """

    pruner: Pruner
    by_family: bool = True

    def stops(self, trial: Curve, rivals: Rivals) -> bool:
        if not self.pruner.stops(trial, rivals):
            return False
        if self.pruner.stops(trial, rivals.nobody):
            return True  # whatever the others do
        early = self.by_family and HEAD_START * len(trial.values) < trial.epochs
        return not (_on_front(trial, rivals) or (early and _leads(trial, rivals.of_family(trial.family))))


def _on_front(trial: Curve, rivals: Rivals) -> bool:
    values, costs = _as_far(trial, rivals), np.array(trial.costs)
    no_worse = (values >= trial.best) & (rivals.costs <= costs).all(axis=1)
    better = (values > trial.best) | (rivals.costs < costs).any(axis=1)
    return not (no_worse & better).any()


def _leads(trial: Curve, rivals: Rivals) -> bool:
    return not (_as_far(trial, rivals) > trial.best).any()


def _as_far(trial: Curve, rivals: Rivals) -> Floats:
    """The best values (N,) of ``rivals`` when they were as far as ``trial`` is; NaN of who has not come so far."""
    return rivals.at(rivals.as_far_as(trial))
