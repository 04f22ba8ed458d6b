"""Using what a study came to, on this machine: ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convscout.services.cli.display import display
from convscout.services.cli.output import predict_hint, print_json, print_line, print_table
from convscout.services.config.study_ref import StudyRef
from convscout.services.ensembles.ensemble import Ensemble
from convscout.services.ensembles.front import EnsembleCost, FrontPoint
from convscout.services.evaluation.winner_score import unseen_text
from convscout.services.studies import results


def ensemble(
    ref: StudyRef,
    changes: Mapping[str, Any],
    *,
    to: Path | None,
    formats: Sequence[str],
    json: bool,
) -> None:
    """Select another ensemble of the study under its settings with ``changes``, and export it to ``to``, if any."""
    with display(quiet=json) as listener:
        found = results.ensemble(ref, changes, to, listener, formats)
    if json:
        print_json({"study": ref.name, "export": str(to) if to else None, **found.to_dict()})
        return
    _tell(found)
    if to:
        print_line(f"export: {to}")
        print_line(predict_hint(to))
    else:
        print_line(f"export it: add --to DIR; see what is to be had: convscout ensemble {ref.name} --front")


def front(ref: StudyRef, changes: Mapping[str, Any], *, cost: str, json: bool) -> None:
    """Show the best ensemble at each ``cost``, and draw them."""
    with display(quiet=json) as listener:
        points, path, kind = results.ensemble_front(ref, changes, cost, listener)
    if json:
        told = [{"cost": each.cost, **each.ensemble.to_dict()} for each in points]
        print_json({"study": ref.name, "cost": kind.label, "plot": str(path), "front": told})
        return
    _print_front(points, kind)
    print_line(f"plot: {path}")


def _tell(found: Ensemble) -> None:
    rows = [[each.name, f"{each.weight:.0%}", f"{each.temperature:.2f}"] for each in found.members]
    print_table(["trial", "weight", "temperature"], rows, right=("weight", "temperature"))
    print_line(f"selected by {found.strategy}" + (f": {found.reason}" if found.reason else ""))
    print_line(
        f"validation accuracy {found.score.accuracy:.2%}, the best single network {found.single.accuracy:.2%}; "
        f"log loss {found.score.nll:.4f} and {found.single.nll:.4f}"
    )
    if found.unseen:
        print_line(unseen_text(found.unseen))


def _print_front(points: Sequence[FrontPoint], cost: EnsembleCost) -> None:
    rows = [
        [
            cost.text(each.cost),
            f"{each.ensemble.score.accuracy:.2%}",
            f"{each.ensemble.score.nll:.4f}",
            ", ".join(member.name for member in each.ensemble.members),
        ]
        for each in points
    ]
    columns = [cost.label, "validation accuracy", "log loss", "trials"]
    print_table(columns, rows, right=columns[:3])
