"""What the charts of a study are drawn from: curves, costs, timeline and importances, as plain JSON.

A study of thousands of trials is thinned out, so that a page stays light; what is left out is said.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from convscout.services.control.study_reader import StudySnapshot
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.plotting.columns import PARAMS, TRAINING_TIME, Column, Point, front_of, score_of
from convscout.services.plotting.knobs import METHOD
from convscout.services.plotting.study_plots.timeline import assign_rows
from convscout.services.plotting.style import score_label
from convscout.trials.config import TrialState
from convscout.trials.evaluation.qualities import Quality

MOST_CURVES, BEST_CURVES = 80, 60
MOST_POINTS, BEST_POINTS = 1500, 500
MOST_BARS = 600
MOST_KNOBS = 15
_LEAST_SHARE = 0.005

COSTS: Mapping[str, Column] = {
    "params": PARAMS,
    "flops": Column(
        label="multiply-adds of one image",
        of=lambda trial: trial.complexity.flops if trial.complexity else None,
    ),
    "training_s": TRAINING_TIME,
}


class Charts:
    """Makes the data of charts once for each snapshot of a study, whoever asks."""

    def __init__(self) -> None:
        self._made: WeakKeyDictionary[StudySnapshot, dict[str, Any]] = WeakKeyDictionary()
        self._one_at_a_time = threading.Lock()

    def of(self, snapshot: StudySnapshot) -> dict[str, Any]:
        """Curves, costs and timeline."""
        with self._one_at_a_time:
            if snapshot not in self._made:
                self._made[snapshot] = chart_data(snapshot)
            return self._made[snapshot]


def chart_data(snapshot: StudySnapshot) -> dict[str, Any]:
    """Curves, costs and timeline of the trials of ``snapshot``."""
    view = snapshot.view
    return {
        "quality": {
            "label": score_label(view.quality),
            "maximize": view.quality.maximize,
            "share": view.quality.share,
        },
        "families": list(dict.fromkeys(record.family for record in view.records)),  # each keeps its colour
        "curves": _curves(snapshot),
        "costs": _costs(snapshot),
        "timeline": _timeline(snapshot),
        "best": _best_so_far(snapshot),
    }


def importance_data(importances: Mapping[str, float]) -> dict[str, Any]:
    """The share of each of the most important knobs."""
    shares = [(name, share) for name, share in importances.items() if share >= _LEAST_SHARE]
    return {
        "method": METHOD,
        "knobs": [{"knob": name, "share": share} for name, share in shares[:MOST_KNOBS]],
    }


def family_rows(snapshot: StudySnapshot) -> list[dict[str, Any]]:
    """Of each family how many of its trials were trained and stopped, and the best; the best family first."""
    by_family: dict[str, list[TrialRecord]] = {}
    for record in snapshot.view.records:
        by_family.setdefault(record.family, []).append(record)
    rows = []
    for family, records in by_family.items():
        best = max((each for each in records if each.best), key=lambda each: each.utility, default=None)
        rows.append(
            {
                "family": family,
                "trials": len(records),
                "stopped": sum(record.state is TrialState.STOPPED for record in records),
                "epochs": sum(len(record.measurements) for record in records),
                "trial": best.number if best else None,
                "utility": best.utility if best else None,
                "score": best.quality.text(best.score) if best and best.score is not None else "",
            }
        )
    return sorted(rows, key=lambda row: (row["utility"] is None, -(row["utility"] or 0.0)))


def _curves(snapshot: StudySnapshot) -> dict[str, Any]:
    trained = [record for record in snapshot.view.records if record.measurements]
    shown = _thin(snapshot, trained, MOST_CURVES, BEST_CURVES)
    return {
        "total": len(trained),
        "trials": [
            {
                "trial": record.number,
                "family": record.family,
                "state": str(record.state),
                "reason": record.reason,
                "epochs": [measured.epoch for measured in record.measurements],
                "scores": [_round(record.quality.value(measured)) for measured in record.measurements],
            }
            for record in shown
        ],
    }


def _costs(snapshot: StudySnapshot) -> dict[str, Any]:
    scored = snapshot.view.scored
    fronts = {name: _front(scored, cost, snapshot.view.quality) for name, cost in COSTS.items()}
    on_fronts = {number for front in fronts.values() for number in front}
    shown = _thin(snapshot, scored, MOST_POINTS, BEST_POINTS, keep=on_fronts)
    return {
        "total": len(scored),
        "labels": {name: cost.label for name, cost in COSTS.items()},
        "fronts": fronts,
        "points": [
            {
                "trial": record.number,
                "family": record.family,
                "state": str(record.state),
                "score": _round(record.score),
                **{name: cost.of(record) for name, cost in COSTS.items()},
            }
            for record in shown
        ],
    }


def _front(scored: Sequence[TrialRecord], cost: Column, quality: Quality) -> list[int]:
    """The numbers of the trials that none surpasses in score and in ``cost``, the cheapest first."""
    score, places = score_of(quality), dict[Point, int]()
    for record in scored:
        across, up = cost.of(record), score.of(record)
        if across is not None and up is not None:
            places.setdefault((across, up), record.number)
    return [places[point] for point in front_of(list(places), cost, score)] if places else []


def _timeline(snapshot: StudySnapshot) -> dict[str, Any]:
    view = snapshot.view
    spans = {record.number: span for record in view.records if (span := view.time.span(record))}
    rows = assign_rows(spans)
    latest = sorted(spans, key=lambda number: spans[number][0])[-MOST_BARS:]
    records = {record.number: record for record in view.records}
    return {
        "unit": view.time.unit,
        "total": len(spans),
        "workers": 1 + max(rows.values(), default=-1),
        "bars": [
            {
                "trial": number,
                "worker": rows[number] + 1,
                "began": round(spans[number][0], 4),
                "ended": round(spans[number][1], 4),
                "family": records[number].family,
                "state": str(records[number].state),
            }
            for number in latest
        ],
    }


def _best_so_far(snapshot: StudySnapshot) -> list[dict[str, Any]]:
    """When each trial ended that was better than all that ended before it."""
    view, best, found = snapshot.view, float("-inf"), []
    ended = [record for record in view.scored if view.time.span(record)]
    for record in sorted(ended, key=lambda each: (view.time.span(each) or (0.0, 0.0))[1]):
        if record.utility > best and record.score is not None and (span := view.time.span(record)):
            best = record.utility
            found.append({"trial": record.number, "at": round(span[1], 4), "score": _round(record.score)})
    return found


def _thin(
    snapshot: StudySnapshot,
    records: Sequence[TrialRecord],
    most: int,
    best: int,
    keep: Collection[int] = (),
) -> list[TrialRecord]:
    """All of ``records`` if they are few; else the ``best`` ones, those to ``keep``, and a sample of the rest."""
    if len(records) <= most:
        return list(records)
    chosen = {record.number for record in snapshot.ranking[:best]} | set(keep)
    rest = [record for record in records if record.number not in chosen]
    step = max(1, -(-len(rest) // max(1, most - len(chosen))))
    chosen |= {record.number for record in rest[::step]}
    return [record for record in records if record.number in chosen]


def _round(value: float | None) -> float | None:
    return round(value, 5) if value is not None and math.isfinite(value) else None
