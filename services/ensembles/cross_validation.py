"""Which strategy of selection to use: by cross-validation on the validation images, so that none is believed blindly.

Each strategy selects on four fifths of the images and answers the fifth that it has not seen, five times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from convscout.services.ensembles.library import TEMPERATURE_IMAGES, Library
from convscout.services.ensembles.temperature import fit_temperature, temper
from convscout.services.plugins import selectors
from convscout.trials.data.splits import Labels
from convscout.trials.evaluation.metrics import (
    IntervalEstimate,
    Probabilities,
    accuracy,
    log_losses,
    wilson_interval,
)
from convscout.trials.evaluation.qualities import QUALITIES

FOLDS = 5
COMPARED = 5_000  # images: they tell strategies apart to half a point, and selecting on more takes longer
SIMPLEST = "top-k"  # where there are too few images to tell


@dataclass(frozen=True, kw_only=True)
class StrategyChoice:
    """The name of a ``strategy`` and the ``reason`` for it.

    ``unseen`` is the accuracy of its answers to images that it did not select on, None where that was not measured.
    """

    strategy: str
    reason: str
    unseen: IntervalEstimate | None = None


def choose(library: Library) -> StrategyChoice:
    """The strategy of the best answers to images that it did not select on.

    Those that are not significantly worse, by one standard error of the difference, count as equally good, and of them
    the one of the least log loss is chosen.
    """
    if len(library) == 1:
        return StrategyChoice(strategy=SIMPLEST, reason="there is one candidate")
    if len(library.labels) < 2 * FOLDS:
        few = f"{len(library.labels)} validation images are too few to compare strategies"
        return StrategyChoice(strategy=SIMPLEST, reason=few)
    if len(library.labels) > COMPARED:
        images = np.random.default_rng(0).choice(len(library.labels), COMPARED, replace=False)
        library = library.of_images(np.sort(images))
    answers = _hold_out(library)
    ranks = {name: library.rank(answer) for name, answer in answers.items()}
    best = max(ranks, key=lambda name: ranks[name])
    equals = [name for name in ranks if not _is_worse(library, answers[name], answers[best])]
    chosen = max(equals, key=lambda name: ranks[name][1])
    quality = QUALITIES[library.objective]
    told = [
        f"{name} {quality.text(abs(rank[0]))}"
        for name, rank in sorted(ranks.items(), key=lambda each: each[1])
    ]
    why = "the best" if chosen == best else f"the lowest log loss of those within a standard error of {best}"
    return StrategyChoice(
        strategy=chosen,
        reason=f"{why} in {FOLDS}-fold cross-validation of the selection: {', '.join(reversed(told))}",
        unseen=_accuracy(answers[chosen], library.labels),
    )


def _accuracy(answers: Probabilities, labels: Labels) -> IntervalEstimate:
    share, images = accuracy(answers, labels), len(labels)
    low, high = wilson_interval(round(share * images), images)
    return IntervalEstimate(value=share, low=low, high=high)


def _hold_out(library: Library) -> Mapping[str, Probabilities]:
    """What each strategy answers (N, K) to images that it did not select on."""
    names = selectors.names()
    found = {name: np.empty_like(library.candidates[0].probabilities) for name in names}
    images = np.random.default_rng(0).permutation(len(library.labels))
    for fold in np.array_split(images, FOLDS):
        seen = library.of_images(np.setdiff1d(images, fold))
        unseen = library.of_images(fold)
        for name in names:
            weights = selectors.get(name)(seen)
            temperature = fit_temperature(seen.answer(weights), seen.labels, most=TEMPERATURE_IMAGES)
            found[name][fold] = temper(unseen.answer(weights), temperature)
    return found


def _is_worse(library: Library, answer: Probabilities, best: Probabilities) -> bool:
    """Whether ``answer`` is worse than ``best`` by more than a standard error: image by image, as most are the same."""
    images = np.arange(len(library.labels))
    if library.objective in ("nll", "calibration_error"):
        losses = [log_losses(each[images, library.labels]) for each in (answer, best)]
    else:
        losses = [(each.argmax(axis=1) != library.labels).astype(float) for each in (answer, best)]
    difference = library.image_weights * (losses[0] - losses[1])
    return bool(difference.mean() > difference.std() / np.sqrt(len(difference)))
