"""Ranking: which trials are better than others, and which no other one beats in everything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from convscout.services.ledger.trial_record import TrialRecord


def rank(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """``records``, the best by their study's objective first; of equals the one that began first."""
    return sorted(records, key=lambda record: (-record.utility, record.number))


def pareto_front(points: Sequence[Sequence[float]]) -> list[int]:
    """Which of ``points``, whose coordinates are all better when larger, no other one dominates.

    Of equal points all are kept. One dominates another that is nowhere better and somewhere worse.
    """
    if not len(points):
        return []
    known = np.asarray(points, dtype=np.float64)
    kept = known[:0]
    front: list[int] = []
    # whoever dominates a point comes before it, so each is compared with the front so far alone
    for index in sorted(range(len(known)), key=lambda each: tuple(known[each]), reverse=True):
        point = known[index]
        if not ((kept >= point).all(axis=1) & (kept > point).any(axis=1)).any():
            front.append(index)
            kept = np.vstack([kept, point])
    return sorted(front)
