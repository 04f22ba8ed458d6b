"""Writing a study's plots and its table of trials."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.plotting.table import write_trials
from convscout.services.plotting.view import StudyView
from convscout.services.plugins import study_plots

TABLE = "trials.csv"
_DPI = 100


def write_plots(
    study: str, records: Sequence[TrialRecord], directory: Path, kinds: Collection[str] = ()
) -> list[Path]:
    """Draw the trials of ``study`` into ``directory``, a PNG for each of ``kinds`` (default: all there are).

    Returns what was written: a plot that ``records`` are too few for is left out. Raises
    ``UnknownNameError`` for a kind that is none, before anything is written.
    """
    drawers = {kind: study_plots.get(kind) for kind in kinds or study_plots.names()}
    view = StudyView(records)
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for kind, draw in drawers.items():
        if figure := draw(view):
            figure.suptitle(
                f"{study}: {len(view.records):,} trials, {view.epochs:,} epochs", x=0.01, ha="left"
            )
            figure.savefig(path := directory / f"{kind}.png", dpi=_DPI)
            written.append(path)
    return written


def write_table(records: Sequence[TrialRecord], directory: Path) -> Path:
    """Write a table of the trials that were trained into ``directory``; returns its path."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / TABLE
    write_trials([record for record in records if record.trained], path)
    return path
