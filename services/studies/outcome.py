"""Outcome: what a study came to, as its ledger keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from convscout.services.config.study_ref import StudyRef
from convscout.services.ensembles.ensemble import Ensemble
from convscout.services.evaluation.score_rows import ScoreRow
from convscout.services.evaluation.winner_score import WinnerScore, correction_figures, correction_texts
from convscout.services.ledger.ledger import Ledger
from convscout.trials.evaluation.metrics import PairedDifference

OUTCOME_NOTE = "outcome"
OPENINGS_NOTE = "test_openings"  # seconds since 1970 of every look at the test split


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a study came to. ``best`` is the number of the best single trial.

    ``ensemble`` is what was exported, and ``selected`` what it was refitted from, if it was. ``gain`` is what the
    selected one answers better than the best single trial on the test images, ``refit_gain`` what it does refitted,
    ``control_gain`` what it does than the study's control, if there was one. ``did_not_fit`` of the rejected
    candidates in ``state_counts`` were only too large for what was left of the budgets.
    ``uncalibrated`` are log loss and calibration error there before any temperature. ``winner`` is what the best single
    trial is worth on validation images, corrected for its choice by them; a study of an earlier version has none.
    """

    study: str
    state_counts: dict[str, int]
    best: int
    ensemble: Ensemble
    report: tuple[ScoreRow, ...]
    export: Path
    gain: PairedDifference | None = None
    refit_gain: PairedDifference | None = None
    control_gain: PairedDifference | None = None
    selected: Ensemble | None = None
    uncalibrated: tuple[float, float] | None = None
    winner: WinnerScore | None = None
    did_not_fit: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "export": str(self.export)}

    def to_note(self, ref: StudyRef) -> dict[str, Any]:
        """What the ledger of the study keeps."""
        return {**self.to_dict(), "export": ref.to_stored(self.export)}

    @classmethod
    def from_note(cls, values: Mapping[str, Any], ref: StudyRef) -> Outcome:
        """The inverse of ``to_note``."""
        return cls.from_dict({**values, "export": ref.from_stored(values["export"])})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Outcome:
        """The inverse of ``to_dict``."""
        parts = {
            "ensemble": Ensemble.from_dict(values["ensemble"]),
            "report": tuple(ScoreRow(**row) for row in values["report"]),
            "export": Path(values["export"]),
            **{
                name: PairedDifference(**values[name]) if values.get(name) else None
                for name in ("gain", "refit_gain", "control_gain")
            },
            "selected": Ensemble.from_dict(values["selected"]) if values.get("selected") else None,
            "uncalibrated": tuple(values["uncalibrated"]) if values.get("uncalibrated") else None,
            "winner": WinnerScore.from_dict(values["winner"]) if values.get("winner") else None,
        }
        return cls(**{**values, **parts})

    @property
    def corrections(self) -> list[str]:
        """What the choice by validation images does to their scores, a sentence each."""
        return correction_texts(self.winner, (self.selected or self.ensemble).unseen)

    @property
    def correction_figures(self) -> list[tuple[str, str, float]]:
        """The same as numbers: of which row of the report, under which name, and the number."""
        return list(correction_figures(self.winner, (self.selected or self.ensemble).unseen))

    def row(self, name: str, split: str) -> ScoreRow:
        """One row of the report."""
        return next(row for row in self.report if (row.name, row.split) == (name, split))

    def score(self, name: str, split: str) -> float:
        """The accuracy in one row of the report."""
        return self.row(name, split).accuracy


def load_outcome(ledger: Ledger) -> Outcome | None:
    """What the study came to, or None while it has not ended."""
    values = ledger.note(OUTCOME_NOTE)
    return Outcome.from_note(values, ledger.ref) if values else None
