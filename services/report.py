"""The report: answers to labelled images as figures (JSON) and pictures (PNG) in one directory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from search_space.errors import UserError
from services.directories import replacing
from services.evaluation import EVALUATION_FILE, Evaluation
from services.plotting.answers import confusion, reliability, worst_mistakes
from trials.metrics import Probabilities
from trials.splits import LabelledImages

CONFUSION, RELIABILITY, MISTAKES = "confusion.png", "reliability.png", "mistakes.png"
_DPI = 100


def write_evaluation(
    given: Mapping[str, Probabilities],
    images: LabelledImages,
    class_names: Sequence[str],
    title: str,
    directory: Path,
) -> dict[str, Evaluation]:
    """Write what answers (N, K) are worth, ``given`` by the name of who gave them; pictures are of the first.

    An earlier evaluation in ``directory`` is replaced as a whole. Raises ``UserError`` when it holds anything else.
    """
    _check_replaceable(directory)
    found = {name: Evaluation.of(each, images.labels, class_names) for name, each in given.items()}
    name, first = next(iter(given.items()))
    mistakes = f"{title}: the surest mistakes of the {name}"
    figures = {
        CONFUSION: confusion(first, images.labels, class_names, f"{title}: {name}"),
        RELIABILITY: reliability(first, images.labels, f"{title}: {name}"),
        MISTAKES: worst_mistakes(images.images, first, images.labels, class_names, mistakes),
    }
    with replacing(directory) as fresh:
        values = {name: each.to_dict() for name, each in found.items()}
        (fresh / EVALUATION_FILE).write_text(
            json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        for file, figure in figures.items():
            if figure:
                figure.savefig(fresh / file, dpi=_DPI)
    return found


def _check_replaceable(directory: Path) -> None:
    """Replacing a directory deletes it, so it must hold nothing but an earlier evaluation."""
    if not directory.is_dir():
        return
    ours = {EVALUATION_FILE, CONFUSION, RELIABILITY, MISTAKES}
    foreign = sorted(path.name for path in directory.iterdir() if path.name not in ours)
    if foreign:
        raise UserError(
            f"{directory} holds {foreign[0]!r}, which is not part of an evaluation; choose another directory"
        )
