"""Finding: something about a study that is not as it should be, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class Remedy(StrEnum):
    """What a repair does about a finding, in the order that repairs are made."""

    SETTLE = "a repair brings its identity and the links of MLflow up to date"
    REMOVE = "a repair removes it"
    CLOSE = "a repair closes it and frees its epoch states"
    REJECT = "a repair rejects it"
    RETRAIN = "a repair lets the next resume train it again"
    EXPORT = "a repair exports again"
    SYNC = "a repair brings MLflow up to date"
    NONE = ""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """``what`` is wrong, and ``where``.

    ``remedy`` is done to the ``trial`` or the ``path``, where it concerns one; ``advice`` says what a person can do
    about what no repair mends.
    """

    where: str
    what: str
    remedy: Remedy = Remedy.NONE
    advice: str = ""
    trial: int | None = None
    path: Path | None = None

    def concerns(self, other: Finding) -> bool:
        """Whether both ask for the same remedy in the same place; how bad it is may have changed."""
        mine = (self.where, self.remedy, self.trial, self.path)
        return mine == (other.where, other.remedy, other.trial, other.path)

    @property
    def mend(self) -> str:
        """How it is mended."""
        return self.advice or str(self.remedy)

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.mend}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "where": self.where,
            "what": self.what,
            "mend": self.mend,
            "repairable": self.remedy is not Remedy.NONE,
        }
