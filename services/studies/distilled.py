"""Distilled: what a distillation came to, as the study's ledger keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from convscout.services.evaluation.score_rows import ScoreRow
from convscout.services.ledger.ledger import Ledger
from convscout.trials.evaluation.metrics import PairedDifference

DISTILLED_NOTE = "distilled"


@dataclass(frozen=True, kw_only=True)
class Distilled:
    """What came of it: the student's ``family``, ``params`` and ``epochs``, and the ``trial`` that it is like, if any.

    ``rows`` are the test scores of the teacher, of each student and of each twin; ``gains`` is what each student
    answers better than its twin. ``export`` holds the student that is best on the validation images.
    """

    study: str
    family: str
    trial: int | None
    params: int
    epochs: int
    rows: tuple[ScoreRow, ...]
    gains: tuple[PairedDifference, ...]
    export: Path

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "export": str(self.export)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Distilled:
        """The inverse of ``to_dict``."""
        parts = {
            "rows": tuple(ScoreRow(**row) for row in values["rows"]),
            "gains": tuple(PairedDifference(**gain) for gain in values["gains"]),
            "export": Path(values["export"]),
        }
        return cls(**{**values, **parts})


def load_distilled(ledger: Ledger) -> Distilled | None:
    """What the last distillation of the study came to, or None before any."""
    values = ledger.note(DISTILLED_NOTE)
    if not values:
        return None
    return Distilled.from_dict({**values, "export": ledger.ref.from_stored(values["export"])})
