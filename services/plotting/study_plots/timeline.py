"""When which trial was trained, on which of the workers."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from convscout.services.plotting.style import STATE_COLOURS
from convscout.services.plotting.view import StudyView
from convscout.services.plugins import study_plots

_NUMBERED_SHARE = 0.025  # of the whole time; a shorter bar has no room for its trial's number


@study_plots.register("timeline")
def timeline(study: StudyView) -> Figure | None:
    """A bar for each trial, from its first start to its end, in the row of a worker.

    The ledger does not say which worker trained a trial: a trial is put into the row that has been free
    longest, of as few rows as there must have been.
    """
    spans = {record.number: span for record in study.records if (span := study.time.span(record))}
    if not spans:
        return None
    rows = assign_rows(spans)
    lanes = 1 + max(rows.values())
    figure = Figure(figsize=(12, min(1.8 + 0.4 * lanes, 9.0)))
    height = figure.get_figheight()
    axes = figure.subplots()
    figure.subplots_adjust(left=0.065, right=0.985, bottom=0.55 / height, top=1 - 0.75 / height)
    bars = defaultdict(list)  # by row and state, as a thousand single ones take seconds to draw
    for record in study.records:
        if span := spans.get(record.number):
            bars[rows[record.number], record.state].append((span[0], span[1] - span[0]))
    edge = 0.4 if len(spans) <= 300 else 0.1
    for (row, state), of in bars.items():
        axes.broken_barh(
            of, (row - 0.4, 0.8), facecolor=STATE_COLOURS[state], edgecolor="white", linewidth=edge
        )
    longest = max(ended for _, ended in spans.values())
    for number, (began, ended) in spans.items():
        if ended - began >= _NUMBERED_SHARE * longest:
            axes.text((began + ended) / 2, rows[number], str(number), ha="center", va="center", fontsize=8)
    axes.set(
        xlabel=f"time ({study.time.unit})", ylabel="worker", xlim=(0, longest or 1), ylim=(lanes - 0.5, -0.5)
    )
    axes.set_yticks(range(lanes) if lanes <= 20 else range(0, lanes, 10))
    axes.legend(
        handles=[Patch(color=colour, label=str(state)) for state, colour in STATE_COLOURS.items()],
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=4,
        frameon=False,
        fontsize=9,
    )
    return figure


def assign_rows(spans: Mapping[int, tuple[float, float]]) -> dict[int, int]:
    """A row for each of ``spans``, so that none overlap within a row and rows are as few as can be."""
    free: list[tuple[float, int]] = []  # when each row becomes free
    rows = {}
    for number, (began, ended) in sorted(spans.items(), key=lambda item: (item[1], item[0])):
        row = heapq.heappop(free)[1] if free and free[0][0] <= began else len(free)
        heapq.heappush(free, (ended, row))
        rows[number] = row
    return rows
