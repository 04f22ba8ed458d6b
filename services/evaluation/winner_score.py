"""Winner score: what a study's best trial is worth, corrected for its choice by the images that it was scored on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from convscout.services.evaluation.score_rows import ENSEMBLE, SINGLE
from convscout.trials.evaluation.metrics import IntervalEstimate
from convscout.trials.evaluation.qualities import QUALITIES


@dataclass(frozen=True, kw_only=True)
class WinnerScore:
    """What the best of so many ``trials`` is worth by the study's ``objective``, told from so many ``images``.

    ``gain`` is by how much it is better than the trial ``first``, positive where it is better; both are None where it
    is the first itself, or where that one's answers are gone.
    """

    objective: str
    trials: int
    images: int
    score: IntervalEstimate
    first: int | None = None
    gain: IntervalEstimate | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``dataclasses.asdict``."""
        parts = {
            "score": IntervalEstimate(**values["score"]),
            "gain": IntervalEstimate(**values["gain"]) if values["gain"] else None,
        }
        return cls(**{**values, **parts})

    @property
    def warning(self) -> str:
        """What a person must know where the best trial cannot be told from the first one; else empty."""
        if self.gain is None or self.gain.low > 0:
            return ""
        return (
            f"the best trial cannot be told from the first (trial {self.first}) on {self.images:,} validation images: "
            "more images, not more trials, would show a difference"
        )


def correction_texts(winner: WinnerScore | None, unseen: IntervalEstimate | None) -> list[str]:
    """What is known of the ``winner`` and of the ensemble's accuracy on ``unseen`` images, a sentence each."""
    texts = []
    if winner and winner.trials > 1:  # a lone one was not chosen among others
        quality = QUALITIES[winner.objective]
        bounds = f"{quality.text(winner.score.low)} to {quality.text(winner.score.high)}"
        texts.append(
            f"best single, corrected for its choice among {winner.trials} trials: validation "
            f"{quality.name.replace('_', ' ')} {quality.text(winner.score.value)} (95 %: {bounds})"
        )
    if unseen:
        texts.append(f"ensemble, {unseen_text(unseen)}")
    if winner and winner.warning:
        texts.append(winner.warning)
    return texts


def unseen_text(unseen: IntervalEstimate) -> str:
    """The accuracy of an ensemble on images that its selection had not seen."""
    bounds = f"(95 %: {unseen.low:.2%} to {unseen.high:.2%})"
    return f"on validation images that its selection had not seen: accuracy {unseen.value:.2%} {bounds}"


def correction_figures(
    winner: WinnerScore | None, unseen: IntervalEstimate | None
) -> Iterator[tuple[str, str, float]]:
    """The same as numbers: of which score row, under which name, and the number."""
    known = []
    if winner:
        known.append((SINGLE, f"{winner.objective}_corrected", winner.score))
    if unseen:
        known.append((ENSEMBLE, "accuracy_unseen", unseen))
    for row, name, estimate in known:
        yield row, name, estimate.value
        yield row, f"{name}_low", estimate.low
        yield row, f"{name}_high", estimate.high
