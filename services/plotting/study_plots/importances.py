"""Which knobs made the difference between the best trials and the rest."""

from __future__ import annotations

from matplotlib.figure import Figure

from convscout.services.plotting.knobs import METHOD
from convscout.services.plotting.view import StudyView
from convscout.services.plugins import study_plots

_MOST, _LEAST_SHARE = 15, 0.005


@study_plots.register("importances")
def importances(study: StudyView) -> Figure | None:
    """The share of each of the most important knobs; None with too few trials to tell."""
    shares = [(name, share) for name, share in study.importances.items() if share >= _LEAST_SHARE][:_MOST]
    if not shares:
        return None
    figure = Figure(figsize=(9, 1.6 + 0.32 * len(shares)))
    height = figure.get_figheight()
    axes = figure.subplots()
    figure.subplots_adjust(left=0.3, right=0.95, bottom=0.6 / height, top=1 - 0.75 / height)
    names, values = zip(*reversed(shares), strict=True)
    bars = axes.barh(names, values, color="tab:blue")
    axes.bar_label(bars, labels=[f"{value:.0%}" for value in values], padding=3, fontsize=9)
    axes.set(xlabel=f"share of the importance of all knobs ({METHOD})", xlim=(0, 1.12 * max(values)))
    axes.set_ylim(-0.6, len(shares) - 0.4)
    axes.set_title("what sets the best trials apart", fontsize=10)
    axes.grid(alpha=0.3, axis="x")
    return figure
