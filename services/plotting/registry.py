"""The registry of study plots.

They are drawn beside the training, so without pyplot, whose state is not made for threads, and without
an automatic layout, which would take more time than the drawing.
"""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from search_space.registry import Registry
from services.plotting.view import StudyView

# A plot is None where there are too few trials for it. It leaves the top tenth of its figure to a title.
StudyPlot = Callable[[StudyView], Figure | None]

study_plots: Registry[StudyPlot] = Registry(
    "plot", package="services.study_plots", group="convscout.study_plots"
)
