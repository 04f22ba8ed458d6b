"""Plots of one trial.

They are drawn beside the training, so without pyplot, whose state is not made for threads, and without
an automatic layout, which would take more time than the drawing.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from convscout.trials.config import Measurement


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
