"""RunContent: all that a run in MLflow has to show, and when it shows it.

MLflow changes no param and takes no value back, so a run is equal to the ledger when

- every tag of ours has the ledger's value, and none is left of what the ledger no longer has,
- every param is true, and none is missing,
- every curve has exactly the ledger's points,
- every figure shows the ledger's value: of several values of a metric MLflow shows the last by step, of one step the
  last by time, and of one moment the largest. A figure that the ledger no longer has shows NaN.

A figure is therefore superseded; a run with a wrong param or a wrong curve can only be made anew.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlflow.entities import Metric


@dataclass(frozen=True, kw_only=True)
class RunContent:
    """What the ledger has a run show.

    ``params`` must be there, and ``settings`` are all params that would be true. ``passing_tags`` begin the names of
    tags that are only there while the ledger has a value for them. Of ``curves`` MLflow keeps each point, of
    ``figures`` the last value counts.
    """

    tags: Mapping[str, str]
    params: Mapping[str, str]
    settings: Mapping[str, str]
    passing_tags: tuple[str, ...]
    curves: Sequence[Metric]
    figures: Sequence[Metric]

    @property
    def curve_keys(self) -> frozenset[str]:
        """The metrics that are curves."""
        return frozenset(point.key for point in self.curves)

    def find_stale_tags(self, tags: Mapping[str, str]) -> list[str]:
        """Those of a run's ``tags`` that speak of what the ledger no longer has."""
        return [
            key
            for key, value in tags.items()
            if value and key.startswith(self.passing_tags) and key not in self.tags
        ]

    def find_false_params(self, params: Mapping[str, str]) -> dict[str, str]:
        """Those of a run's ``params`` that say something else than the ledger."""
        return {key: value for key, value in params.items() if self.settings.get(key) != value}

    def find_false_figures(
        self, shown: Mapping[str, Metric]
    ) -> Iterator[tuple[str, float | None, float | None]]:
        """Every metric that is no curve and shows another value: its key, the ledger's value, and what is shown."""
        wanted = {metric.key: metric.value for metric in self.figures}
        for key in sorted((wanted.keys() | shown.keys()) - self.curve_keys):
            seen = shown[key].value if key in shown else None
            if not is_same(wanted.get(key), seen):
                yield key, wanted.get(key), seen

    def supersede_figures(self, shown: Mapping[str, Metric]) -> list[Metric]:
        """What to log so that MLflow, which shows ``shown``, shows the figures instead."""
        figures = {metric.key: metric for metric in self.figures}
        return [
            _supersede(figures.get(key) or _forget(shown[key]), shown.get(key))
            for key, _, _ in self.find_false_figures(shown)
        ]


def stored(value: float | None) -> float | None:
    """``value`` as MLflow shows it: NaN is no value, and of infinity its databases know the largest number only."""
    if value is None or math.isnan(value):
        return None
    return max(-sys.float_info.max, min(value, sys.float_info.max))


def is_same(one: float | None, other: float | None) -> bool:
    """Whether MLflow shows ``one`` as ``other``; None is a metric that has no value."""
    return stored(one) == stored(other)


def show(metrics: Sequence[Metric], shown: Mapping[str, Metric]) -> dict[str, Metric]:
    """What MLflow shows, by key, once ``metrics`` are logged beside what is ``shown``."""
    latest = dict(shown)
    for metric in metrics:
        before = latest.get(metric.key)
        if before is None or _order(metric) > _order(before):
            latest[metric.key] = metric
    return latest


def _order(metric: Metric) -> tuple[int, int, float]:
    return metric.step, metric.timestamp, stored(metric.value) or 0.0  # it keeps NaN as 0


def _forget(shown: Metric) -> Metric:
    return Metric(key=shown.key, value=math.nan, timestamp=shown.timestamp, step=shown.step)


def _supersede(wanted: Metric, shown: Metric | None) -> Metric:
    """``wanted``, where need be at a step and a time that come after ``shown``."""
    if shown is None or (wanted.step, wanted.timestamp) > (shown.step, shown.timestamp):
        return wanted
    later = max(wanted.timestamp, shown.timestamp + 1)
    return Metric(key=wanted.key, value=wanted.value, timestamp=later, step=shown.step)
