"""Score rows: what networks and ensembles are worth, as the tables of a study's outcome have it."""

from __future__ import annotations

from dataclasses import dataclass

from convscout.services.config.units import format_count
from convscout.services.evaluation.scores import Evaluation
from convscout.trials.evaluation.metrics import PairedDifference, wilson_interval

SINGLE, TOP_K, ENSEMBLE, REFITTED = "best single", "top-k mean", "ensemble", "refit"
UNCALIBRATED = "ensemble before calibration"
CONTROL = "control"  # the best known recipe, chosen without looking at the data


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """``accuracy`` of ``name`` on a ``split`` of ``images`` images, with its 95 % Wilson interval.

    ``nll`` is the mean log loss in nats. ``params`` is of all networks together, ``latency_s`` what they take for one
    image on one core. What was not measured is None.
    """

    name: str
    split: str
    accuracy: float
    low: float
    high: float
    images: int
    nll: float | None = None
    calibration_error: float | None = None
    params: int | None = None
    latency_s: float | None = None

    @classmethod
    def of(
        cls,
        name: str,
        split: str,
        share: float,
        images: int,
        *,
        nll: float | None = None,
        calibration_error: float | None = None,
    ) -> ScoreRow:
        """The row for ``share`` of ``images`` answered rightly, and other scores."""
        low, high = wilson_interval(round(share * images), images)
        return cls(
            name=name,
            split=split,
            accuracy=share,
            low=low,
            high=high,
            images=images,
            nll=nll,
            calibration_error=calibration_error,
        )

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """Accuracy, its interval, log loss and calibration error, as tables show them."""
        return (
            f"{self.accuracy:.2%}",
            f"{self.low:.2%} – {self.high:.2%}",
            "" if self.nll is None else f"{self.nll:.4f}",
            "" if self.calibration_error is None else f"{self.calibration_error:.2%}",
        )

    @property
    def cost_cells(self) -> tuple[str, str]:
        """Parameters and latency, as tables show them."""
        return (
            "" if self.params is None else format_count(self.params),
            "" if self.latency_s is None else f"{1000 * self.latency_s:.2g} ms",
        )

    @classmethod
    def measure(cls, name: str, split: str, found: Evaluation) -> ScoreRow:
        """The row for what was ``found`` of answers to a ``split``."""
        return cls.of(
            name,
            split,
            found.accuracy,
            found.images,
            nll=found.nll,
            calibration_error=found.calibration_error,
        )


def gain_text(gain: PairedDifference, over: str = "") -> str:
    """``gain``, ``over`` whomever it is, for a person."""
    return (
        f"{100 * gain.difference:+.2f} points{over} "
        f"(95 %: {100 * gain.low:+.2f} to {100 * gain.high:+.2f}; McNemar p = {gain.p_value:.2g})"
    )
