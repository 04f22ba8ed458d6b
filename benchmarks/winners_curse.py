"""How often does the interval of a search's best trial hold what that trial is truly worth?

python -m benchmarks.winners_curse
python -m benchmarks.winners_curse --images 143 --trials 100 --studies 2000

Studies of random configurations from the table of ``benchmarks.tabulate``. A configuration's accuracies there count as
the true ones of its epochs. The answers to validation images are drawn: an image is answered rightly where a sum of
its difficulty, which all networks share, of a part that all epochs of a network share, and of chance is below a bound
that gives the epoch its true accuracy. So networks err on the same images, as real ones do. Each trial keeps its best
epoch by these images, and the best trial by them is the winner.

"Naive" is the winner's score with its Wilson interval, "corrected" that of ``services/evaluation/winners_curse.py``. A
study "tells" its winner from its first trial where it gives no warning, "falsely" where the winner is not better.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from benchmarks.common import markdown, write
from benchmarks.replay import Table
from convscout.services.evaluation.resampled_scores import ClassifierAnswers
from convscout.services.evaluation.winners_curse import correct
from convscout.trials.evaluation.metrics import wilson_interval

IMAGES, TRIALS, STUDIES, RESAMPLES = (143, 500, 1_500, 5_000), (1, 5, 20, 100), 400, 300
SHARED, OWN = (
    0.6,
    0.3,
)  # of the variance, what all networks share and what the epochs of one do; the rest is chance
_COLUMNS = {
    "naive optimism": "optimism, naive",
    "optimism": "corrected",
    "naive coverage": "coverage, naive",
    "coverage": "corrected",
    "naive width": "width, naive",
    "width": "corrected",
    "told": "tells",
    "falsely told": "falsely",
}
Accuracies = npt.NDArray[np.float64]


def true_curves() -> dict[str, Accuracies]:
    """True accuracies by epoch (M, E) of configurations to draw from, by what they are.

    As tabulated, which are as different as the configurations of a search are; the best tenth of them, which are nearly
    alike; all of them with a thirtieth of their errors, as on a data set on which nearly all answers are right.
    """
    table = Table.read()
    tabulated = np.array([row.accuracies for row in table.rows if len(row.accuracies) == table.epochs])
    ranked = tabulated[np.argsort(tabulated.max(axis=1))]
    return {
        "tabulated": tabulated,
        "best tenth": ranked[-len(ranked) // 10 :],
        "easy": 1 - (1 - tabulated) / 30,
    }


def draw_right(truth: Accuracies, images: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Which images networks of true accuracies (M, E) answer rightly, by epoch (M, E, N)."""
    trials, epochs = truth.shape
    difficulty, own, chance = (
        rng.standard_normal(shape, np.float32)
        for shape in ((1, 1, images), (trials, 1, images), (trials, epochs, images))
    )
    shares = np.sqrt([SHARED, OWN, 1 - SHARED - OWN], dtype=np.float32)
    hard = shares[0] * difficulty + shares[1] * own + shares[2] * chance
    right: npt.NDArray[np.bool_] = hard < ndtri(truth)[:, :, None].astype(np.float32)
    return right


def study(truth: Accuracies, images: int, rng: np.random.Generator, resamples: int) -> dict[str, float]:
    """What one study of trials with such true accuracies (M, E) says of its winner, against the truth."""
    right = draw_right(truth, images, rng)
    trials = np.arange(len(truth))
    kept = right.mean(axis=2).argmax(axis=1)  # each trial's best epoch
    right, truth = right[trials, kept], truth[trials, kept]
    winner = int(right.mean(axis=1).argmax())
    shown, true = float(right[winner].mean()), truth[winner]
    found = correct(_answers(right), "accuracy", resamples)
    assert found is not None, "there are many images"
    low, high = wilson_interval(shown * images, images)
    told = found.gain is not None and winner > 0 and found.gain.low > 0
    return {
        "naive optimism": shown - true,
        "optimism": found.score.value - true,
        "naive coverage": low <= true <= high,
        "coverage": found.score.low <= true <= found.score.high,
        "naive width": high - low,
        "width": found.score.high - found.score.low,
        "told": told,
        "falsely told": told and true <= truth[0],
    }


def coverage(
    curves: Accuracies, images: int, trials: int, studies: int, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, float]:
    """The means of ``study`` over many, each of ``trials`` random rows of the true ``curves`` (M, E)."""
    rng = np.random.default_rng(seed)
    found = [
        study(rng.choice(curves, trials, replace=trials > len(curves)), images, rng, resamples)
        for _ in range(studies)
    ]
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}


def _answers(right: npt.NDArray[np.bool_]) -> ClassifierAnswers:
    """Networks that are right there (M, N), all as sure: 1 is the right answer, 0 the wrong one."""
    sure = np.ones(right.shape, np.float32)
    labels = np.ones(right.shape[1], np.int64)
    return ClassifierAnswers(
        classes=right.astype(np.int32),
        confidences=sure,
        losses=1 - right.astype(np.float32),
        labels=labels,
        num_classes=2,
    )


def report(results: Sequence[Mapping[str, Any]]) -> str:
    """Optimism and widths in points, the others in percent."""
    lines = [
        [each["networks"], each["images"], each["trials"], *(f"{100 * each[name]:.1f}" for name in _COLUMNS)]
        for each in results
    ]
    return markdown(["networks", "images", "trials", *_COLUMNS.values()], lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--images", help="validation images, comma-separated", default=",".join(map(str, IMAGES))
    )
    parser.add_argument(
        "--trials", help="sizes of studies, comma-separated", default=",".join(map(str, TRIALS))
    )
    parser.add_argument("--studies", type=int, default=STUDIES, help="of each kind")
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help="of the images, in each study")
    asked = parser.parse_args()
    results = [
        {"networks": name, "images": images, "trials": trials}
        | {
            key: round(value, 5)
            for key, value in coverage(curves, images, trials, asked.studies, asked.resamples).items()
        }
        for name, curves in true_curves().items()
        for images in map(int, asked.images.split(","))
        for trials in map(int, asked.trials.split(","))
    ]
    path = write(
        "winners_curse", results, studies=asked.studies, resamples=asked.resamples, shared=SHARED, own=OWN
    )
    print(report(results), "", path, sep="\n")


if __name__ == "__main__":
    main()
