"""Qualities: what the epochs of a trial can be judged by on the validation images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from convscout.trials.config import Measurement


@dataclass(frozen=True, kw_only=True)
class Quality:
    """One way to judge an epoch: by ``field`` of its measurement, where more is better or less is."""

    name: str
    field: str
    maximize: bool
    share: bool  # of a whole, which a person reads as a percentage

    def value(self, measurement: Measurement) -> float:
        """What the epoch is worth."""
        value: float = getattr(measurement, self.field)
        return value

    def utility(self, measurement: Measurement) -> float:
        """The same, turned so that more is better."""
        return self.value(measurement) if self.maximize else -self.value(measurement)

    def best(self, measurements: Iterable[Measurement]) -> Measurement | None:
        """The best epoch, of equals the first; None before any."""
        return max(measurements, key=lambda each: (self.utility(each), -each.epoch), default=None)

    def text(self, value: float) -> str:
        """``value`` for a person."""
        return f"{value:.2%}" if self.share else f"{value:.4f}"


def _quality(name: str, *, field: str = "", maximize: bool = True, share: bool = True) -> Quality:
    return Quality(name=name, field=field or f"val_{name}", maximize=maximize, share=share)


QUALITIES: dict[str, Quality] = {
    quality.name: quality
    for quality in (
        _quality("accuracy"),
        _quality("balanced_accuracy"),
        _quality("macro_f1"),
        _quality("nll", field="val_loss", maximize=False, share=False),
        _quality("calibration_error", maximize=False),
    )
}
