"""Judging the winner: what the best trial of a study is worth, told from the validation answers that trials stored."""

from __future__ import annotations

from collections.abc import Iterable

from convscout.services.evaluation.resampled_scores import ClassifierAnswers
from convscout.services.evaluation.winner_score import WinnerScore
from convscout.services.evaluation.winners_curse import correct
from convscout.trials.data.splits import Labels
from convscout.trials.evaluation.metrics import Probabilities


def judge_winner(
    answers: Iterable[tuple[int, Probabilities]], labels: Labels, objective: str, *, best: int, first: int
) -> WinnerScore | None:
    """What the trial ``best`` is worth by the ``objective``, and whether it is better than the trial ``first``.

    ``answers`` are the number of each trial and its probabilities (N, K), in the order of numbers; ``labels`` (N,).
    None where the answers of ``best`` are gone, or where there are too few images to tell.
    """
    # only what scores need of each trial is held: the probabilities of all may not fit into memory
    known = {number: ClassifierAnswers.of(each, labels) for number, each in answers}
    found = correct(ClassifierAnswers.join(list(known.values())), objective) if best in known else None
    if found is None:
        return None
    compared = best != first == next(iter(known))
    return WinnerScore(
        objective=objective,
        trials=len(known),
        images=len(labels),
        score=found.score,
        first=first if compared else None,
        gain=found.gain if compared else None,
    )
