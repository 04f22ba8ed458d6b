"""MirroredRun: what MLflow holds of one run, and what it lacks of what the ledger has it show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from mlflow.entities import Metric, Run

from convscout.services.tracking.run_content import RunContent, is_same
from convscout.services.tracking.tags import PLOTS_TAG, TERMINAL_TAG


@dataclass(kw_only=True)
class MirroredRun:
    """What MLflow holds of one run. ``shown`` is the value of each metric that it shows, with its step and time.

    The metric ``counter`` says how far the run has come: epochs of a trial, finished trials of a study. ``kept`` says
    whether its artifacts lie where they should.
    """

    run_id: str
    artifact_uri: str
    status: str
    tags: dict[str, str]
    params: dict[str, str]
    shown: dict[str, Metric]
    counter: str
    kept: bool

    @classmethod
    def of(cls, run: Run, counter: str, *, kept: bool = True) -> Self:
        """What ``run`` shows. Unless its artifacts are ``kept``, it lacks the tags that vouch for them."""
        vouching = () if kept else (TERMINAL_TAG, PLOTS_TAG)
        return cls(
            run_id=run.info.run_id,
            artifact_uri=run.info.artifact_uri,
            status=run.info.status,
            tags={key: value for key, value in run.data.tags.items() if key not in vouching},
            params=dict(run.data.params),
            shown=read_shown(run),
            counter=counter,
            kept=kept,
        )

    @property
    def logged(self) -> int:
        """How far the run has come; 0 where that is not known any more."""
        value = self.shown[self.counter].value if self.counter in self.shown else 0.0
        return int(value) if value == value else 0

    def contradicts(self, content: RunContent) -> bool:
        """Whether the run says what MLflow cannot take back: a wrong param, or a point of a curve."""
        if content.find_false_params(self.params):
            return True
        points = {(point.key, point.step): point.value for point in content.curves}
        return any(
            not is_same(points.get((key, self.shown[key].step)), self.shown[key].value)
            for key in content.curve_keys & self.shown.keys()
        )

    def find_missing(self, curves: Sequence[Metric]) -> list[Metric]:
        """The points of ``curves`` that the run lacks."""
        return [point for point in curves if point.step > self.logged or point.key not in self.shown]

    def shows(self, content: RunContent) -> bool:
        """Whether nothing of ``content`` is missing or wrong, as far as what MLflow shows tells."""
        tags = {key: value for key, value in content.tags.items() if self.tags.get(key, "") != value}
        return not (
            tags
            or content.find_stale_tags(self.tags)
            or content.params.keys() - self.params.keys()
            or self.contradicts(content)
            or self.find_missing(content.curves)
            or any(content.find_false_figures(self.shown))
        )


def read_shown(run: Run) -> dict[str, Metric]:
    """The last value of each metric of ``run``, with its step and time, which ``run.data.metrics`` leaves out."""
    return {metric.key: Metric.from_proto(metric) for metric in run.data.to_proto().metrics}
