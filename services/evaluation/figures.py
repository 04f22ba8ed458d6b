"""The report: answers to labelled images as figures (JSON) and pictures (PNG) in one directory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from convscout.services.config.home import EVALUATION_FILE
from convscout.services.evaluation.comparison import Judgement
from convscout.services.evaluation.score_rows import UNCALIBRATED
from convscout.services.plotting.answers import confusion, reliability, worst_mistakes
from convscout.services.system.directories import refuse_foreign, replacing

CONFUSION, RELIABILITY, MISTAKES = "confusion.png", "reliability.png", "mistakes.png"
_DPI = 100


def write_evaluation(judgement: Judgement, class_names: Sequence[str], title: str, directory: Path) -> None:
    """Write what the ensembles of ``judgement`` are worth; pictures are of the first.

    An earlier evaluation in ``directory`` is replaced as a whole. Raises ``UserError`` when it holds anything else.
    """
    refuse_foreign(directory, (EVALUATION_FILE, CONFUSION, RELIABILITY, MISTAKES), "an evaluation")
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
