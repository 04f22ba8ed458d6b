"""Plots of one trial.

They are drawn beside the training, so without pyplot, whose state is not made for threads, and without
an automatic layout, which would take more time than the drawing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from trials.config import Measurement
from trials.splits import Labels

_MOST_NUMBERED_CLASSES = 20  # cells of a larger matrix are too small for a number


def learning_curve(measurements: Sequence[Measurement], title: str) -> Figure:
    """Losses and validation accuracy over the epochs."""
    figure = Figure(figsize=(9, 3.6))
    losses, accuracies = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.08, right=0.98, bottom=0.15, top=0.9, wspace=0.22)
    epochs = [m.epoch for m in measurements]
    losses.plot(epochs, [m.train_loss for m in measurements], marker=".", label="training")
    losses.plot(epochs, [m.val_loss for m in measurements], marker=".", label="validation")
    losses.set(xlabel="epoch", ylabel="cross entropy (nats)")
    losses.legend()
    accuracies.plot(epochs, [m.val_accuracy for m in measurements], marker=".", color="tab:orange")
    accuracies.set(xlabel="epoch", ylabel="validation accuracy")
    for axes in (losses, accuracies):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    return figure


def confusion(
    probabilities: npt.NDArray[np.float32], labels: Labels, class_names: Sequence[str], title: str
) -> Figure:
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
