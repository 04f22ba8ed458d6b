"""Plots of a classifier's answers to labelled images: what it confuses, how sure it is, and its worst mistakes.

Without pyplot, whose state is not made for threads, as one of them is drawn beside the training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from convscout.trials.data.mapped_images import Images
from convscout.trials.data.splits import Labels
from convscout.trials.evaluation.metrics import Probabilities, calibration_error

_MOST_NUMBERED_CLASSES = 20  # cells of a larger matrix are too small for a number
_BINS = 15  # as those of the calibration error
_COLUMNS, _ROWS = 8, 3


def confusion(probabilities: Probabilities, labels: Labels, class_names: Sequence[str], title: str) -> Figure:
    """How often each true class is taken for each other, as a share of the true class.

    ``probabilities`` (N, K) belong to ``labels`` (N,).
    """
    count = len(class_names)
    pairs = labels * count + probabilities.argmax(axis=1)
    counts = np.bincount(pairs, minlength=count * count).reshape(
        count, count
    )  # (K, K), rows are true classes
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(6.4, 5.6))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.18, right=0.98, bottom=0.2, top=0.93)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class")
    axes.set(title=title, xlabel="predicted", ylabel="true")
    if count <= _MOST_NUMBERED_CLASSES:
        axes.set_xticks(range(count), class_names, rotation=45, ha="right")
        axes.set_yticks(range(count), class_names)
        for (row, column), share in np.ndenumerate(shares):
            colour = "white" if share > 0.5 else "black"
            axes.text(column, row, f"{share:.2f}", ha="center", va="center", color=colour, fontsize=7)
    return figure


def reliability(answers: Mapping[str, Probabilities], labels: Labels, title: str) -> Figure:
    """How often an answer is right that is so sure, and how many are: (N, K) by the name of who answers, (N,).

    On the diagonal answers are as sure as they are right.
    """
    figure = Figure(figsize=(5.6, 6))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    figure.subplots_adjust(left=0.14, right=0.96, bottom=0.1, top=0.92, hspace=0.08)
    above.plot([0, 1], [0, 1], color="tab:gray", linestyle="--", linewidth=1)
    places = np.arange(_BINS) + 0.5
    width = 0.9 / len(answers)
    colours = ["tab:gray", "tab:blue"][-len(answers) :]
    for index, (name, probabilities) in enumerate(answers.items()):
        sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
        place = np.minimum((sure * _BINS).astype(np.intp), _BINS - 1)
        count = np.bincount(place, minlength=_BINS)
        filled = count > 0
        share = np.bincount(place, weights=right, minlength=_BINS)[filled] / count[filled]
        mean = np.bincount(place, weights=sure, minlength=_BINS)[filled] / count[filled]
        error = calibration_error(probabilities, labels, _BINS)
        colour = colours[index % len(colours)]
        above.plot(mean, share, marker="o", color=colour, label=f"{name}: calibration error {error:.2%}")
        offset = (index - (len(answers) - 1) / 2) * width
        below.bar((places + offset) / _BINS, count, width=width / _BINS, color=colour)
    above.set(ylabel="share that is right", ylim=(0, 1.02))
    above.legend(loc="upper left", frameon=False, fontsize=9)
    below.set(xlabel="probability of the answer", ylabel="images", xlim=(0, 1))
    for axes in (above, below):
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    return figure


def worst_mistakes(
    images: Images, probabilities: Probabilities, labels: Labels, class_names: Sequence[str], title: str
) -> Figure | None:
    """The wrong answers that were given most surely, of ``images`` (N, H, W, C); None where all are right."""
    answers = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(answers != labels)
    if not len(wrong):
        return None
    surest = wrong[np.argsort(-probabilities[wrong, answers[wrong]], kind="stable")][: _COLUMNS * _ROWS]
    rows = -(-len(surest) // _COLUMNS)
    height = 2.0 * rows + 0.5
    figure = Figure(figsize=(1.55 * _COLUMNS, height))
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=1 - 0.85 / height, hspace=0.4)
    for axes in (cells := figure.subplots(rows, _COLUMNS, squeeze=False).ravel()):
        axes.axis("off")
    for axes, index in zip(cells, surest, strict=False):
        pixels = np.asarray(images[int(index) : int(index) + 1])[0]
        axes.imshow(pixels[..., 0] if pixels.shape[2] == 1 else pixels, cmap="gray", interpolation="nearest")
        answer, truth = class_names[answers[index]], class_names[labels[index]]
        said = f"{answer} ({probabilities[index].max():.0%})\nis {truth}"
        axes.set_title(said, fontsize=8, parse_math=False)
    figure.suptitle(title, x=0.01, ha="left")
    return figure
