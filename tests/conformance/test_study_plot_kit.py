"""Our plots of a study pass their kit, and it names what is wrong with others."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from convscout.services.plotting.view import StudyPlot, StudyView
from convscout.services.plugins import study_plots
from convscout.testing import check_study_plot


@pytest.mark.parametrize("name", study_plots.names())
def test_plots_conform(name: str) -> None:
    check_study_plot(study_plots.get(name))


def faultless(study: StudyView, figure: Figure | None = None) -> Figure | None:
    """The number of each trial."""
    if not study.records:
        return None
    figure = figure or Figure()
    axes = figure.subplots()
    axes.bar([record.number for record in study.records], 1)
    figure.subplots_adjust(top=0.88)
    return figure


def hasty(study: StudyView) -> Figure | None:
    """Takes for granted that some trial was trained."""
    assert study.records
    return faultless(study) if study.records[0].measurements[0] else None


def stateful(study: StudyView) -> Figure | None:
    return faultless(study, pyplot.figure())


def sorting(study: StudyView) -> Figure | None:
    study.records.sort(key=lambda record: -record.number)
    return faultless(study)


def tight(study: StudyView) -> Figure | None:
    figure = faultless(study)
    if figure:
        figure.set_layout_engine("constrained")
    return figure


def tall(study: StudyView) -> Figure | None:
    figure = faultless(study)
    if figure:
        figure.subplots_adjust(top=1.0)
    return figure


def blank(study: StudyView) -> Figure | None:
    return Figure() if study.records else None


def nothing(study: StudyView) -> Figure | None:
    return None


_calls = count()


def counting(study: StudyView) -> Figure | None:
    figure = faultless(study)
    if figure:
        figure.axes[0].set_xlabel(f"drawn for the {next(_calls)}th time")
    return figure


@pytest.fixture(autouse=True)
def _closed_figures() -> Iterator[None]:
    yield
    pyplot.close("all")


def test_a_faultless_plot_conforms() -> None:
    check_study_plot(faultless)


@pytest.mark.parametrize(
    ("plot", "message"),
    [
        (hasty, "0 trials end it with AssertionError"),
        (stateful, "draws with pyplot"),
        (sorting, "changes the list of trials"),
        (tight, "automatic layout"),
        (tall, "drawn where the title goes"),
        (blank, "the figure is empty"),
        (nothing, "draws nothing of 40 trials"),
        (counting, "something else the second time"),
    ],
)
def test_the_fault_of_a_plot_is_named(plot: StudyPlot, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_study_plot(plot)
