"""The report: answers to labelled images as figures (JSON) and pictures (PNG) in one directory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from search_space.errors import UserError
from services.directories import replacing
from services.evaluation import EVALUATION_FILE
from services.judging import UNCALIBRATED, Judgement
from services.plotting.answers import confusion, reliability, worst_mistakes

CONFUSION, RELIABILITY, MISTAKES = "confusion.png", "reliability.png", "mistakes.png"
_DPI = 100


def write_evaluation(judgement: Judgement, class_names: Sequence[str], title: str, directory: Path) -> None:
    """Write what the ensembles of ``judgement`` are worth; pictures are of the first.

    An earlier evaluation in ``directory`` is replaced as a whole. Raises ``UserError`` when it holds anything else.
    """
    _check_replaceable(directory)
    images, labels = judgement.images.images, judgement.images.labels
    name, first = next(iter(judgement.answers.items()))
    compared = {name: first}
    if UNCALIBRATED in judgement.answers:
        compared = {"before calibration": judgement.answers[UNCALIBRATED], name: first}
    mistakes = f"{title}: the surest mistakes of the {name}"
    figures = {
        CONFUSION: confusion(first, labels, class_names, f"{title}: {name}"),
        RELIABILITY: reliability(compared, labels, f"{title}: {name}"),
        MISTAKES: worst_mistakes(images, first, labels, class_names, mistakes),
    }
    with replacing(directory) as fresh:
        values = {name: each.to_dict() for name, each in judgement.evaluations.items()}
        (fresh / EVALUATION_FILE).write_text(
            json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        for file, figure in figures.items():
            if figure:
                figure.savefig(fresh / file, dpi=_DPI)


def _check_replaceable(directory: Path) -> None:
    """Replacing a directory deletes it, so it must hold nothing but an earlier evaluation."""
    if not directory.exists():
        return
    if not directory.is_dir():
        raise UserError(f"{directory} is a file; choose a directory")
    ours = {EVALUATION_FILE, CONFUSION, RELIABILITY, MISTAKES}
    foreign = sorted(path.name for path in directory.iterdir() if path.name not in ours)
    if foreign:
        raise UserError(
            f"{directory} holds {foreign[0]!r}, which is not part of an evaluation; choose another directory"
        )
