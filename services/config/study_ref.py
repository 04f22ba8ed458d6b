"""StudyRef: which study is meant, and where it lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convscout.services.config.home import Home


@dataclass(frozen=True)
class StudyRef:
    """The study called ``name`` in ``home``, whether there is one or not."""

    home: Home
    name: str

    @property
    def directory(self) -> Path:
        """Where all of its files lie."""
        return self.home.root / "studies" / self.name

    @property
    def export(self) -> Path:
        """Where its ensemble is exported."""
        return self.directory / "export"

    @property
    def report(self) -> Path:
        """Where the evaluation on the test images lies."""
        return self.directory / "report"

    @property
    def distilled(self) -> Path:
        """Where students of the ensemble are trained, and the best of them is exported."""
        return self.directory / "distilled"

    @property
    def trials(self) -> Path:
        """Where each trial has a directory of its own."""
        return self.directory / "trials"

    def trial(self, number: int) -> Path:
        """The directory of a trial."""
        return self.trials / f"{number:05d}"

    def to_stored(self, path: Path) -> str:
        """``path`` as the ledger keeps it: relative to the study's directory, if it lies there, as homes move."""
        return str(path.relative_to(self.directory) if path.is_relative_to(self.directory) else path)

    def from_stored(self, stored: str) -> Path:
        """The inverse of ``to_stored``.

        Older versions kept whole paths; an export of this study, wherever its home lay then, lies here.
        """
        path = Path(stored)
        for own in (self.export, self.distilled / "export"):
            if path.is_absolute() and path.match(str(own.relative_to(self.home.root))):
                return own
        return self.directory / path
