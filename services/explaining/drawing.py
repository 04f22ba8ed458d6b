"""Drawing explanations: heat over pictures, filters, and the images that excite a unit most.

Without pyplot, as all plots here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convscout.services.explaining.method import Heat
from convscout.trials.data.splits import Pixels

_PANEL = 2.6  # inches
_TILE = 0.95
_COLUMNS = 16  # of a sheet of filters
_HIGH = 99.5  # percentile of the heat that is shown in full, so that one pixel does not hide the others


class Panel:
    """The heat of one method, (H, W)."""

    def __init__(self, title: str, heat: Heat, *, signed: bool, coarse: bool) -> None:
        self.title = title
        self.heat = heat
        self.signed = signed
        self.coarse = coarse

    def scale(self) -> Heat:
        """In [0, 1], or in [-1, 1] where it is signed."""
        top = float(np.percentile(np.abs(self.heat), _HIGH)) or float(np.abs(self.heat).max())
        return np.clip(self.heat / top, -1 if self.signed else 0, 1) if top else self.heat


def explanation(pixels: Pixels, panels: Sequence[Panel], top: Mapping[str, float], title: str) -> Figure:
    """The picture (H, W, C) as the network sees it, each of ``panels`` laid over it, and its ``top`` classes."""
    count = len(panels) + 2
    figure = Figure(figsize=(_PANEL * count, _PANEL + 0.6))
    figure.subplots_adjust(left=0.01, right=0.985, bottom=0.08, top=0.8, wspace=0.06)
    axes = figure.subplots(1, count, squeeze=False)[0]
    _show(axes[0], pixels, "as the network sees it")
    for place, panel in zip(axes[1:], panels, strict=False):
        _lay_over(place, pixels, panel)
    _bars(axes[-1], top)
    figure.suptitle(title, x=0.01, ha="left", parse_math=False)
    return figure


def filters_sheet(filters: npt.NDArray[np.float32], title: str) -> Figure:
    """Filters (F, h, w, C), each scaled by itself: 0 is grey."""
    rows = -(-len(filters) // _COLUMNS)
    figure, cells = _sheet(rows, _COLUMNS, 0.6, title)
    for cell, weights in zip(cells.ravel(), filters, strict=False):
        shown = 0.5 + 0.5 * weights / (np.abs(weights).max() or 1)
        cell.imshow(
            shown if shown.shape[2] == 3 else shown[..., 0],
            cmap="gray",
            vmin=0,
            vmax=1,
            interpolation="nearest",
        )
    return figure


def units_sheet(rows: Mapping[int, Sequence[tuple[Pixels, str]]], title: str) -> Figure:
    """A row for each unit: the images (H, W, C) that excite it most, with the names of their classes."""
    columns = max(len(images) for images in rows.values())
    figure, cells = _sheet(len(rows), columns, _TILE, title)
    for row, (unit, images) in zip(cells, rows.items(), strict=True):
        for cell, (pixels, name) in zip(row, images, strict=False):
            _show(cell, pixels, "")
            cell.text(
                0.5,
                -0.04,
                name[:14],
                transform=cell.transAxes,
                ha="center",
                va="top",
                fontsize=6,
                parse_math=False,
            )
        row[0].text(-0.12, 0.5, f"{unit}", transform=row[0].transAxes, ha="right", va="center", fontsize=8)
    return figure


def _sheet(rows: int, columns: int, tile: float, title: str) -> tuple[Figure, npt.NDArray[np.object_]]:
    height = rows * tile + 0.45
    figure = Figure(figsize=(columns * tile + 0.5, height))
    figure.subplots_adjust(left=0.06, right=0.99, bottom=0.03, top=1 - 0.4 / height, wspace=0.06, hspace=0.22)
    cells = figure.subplots(rows, columns, squeeze=False)
    for cell in cells.ravel():
        cell.axis("off")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, parse_math=False)
    return figure, cells


def _show(axes: Axes, pixels: Pixels, title: str) -> None:
    axes.axis("off")
    axes.imshow(
        pixels[..., 0] if pixels.shape[2] == 1 else pixels,
        cmap="gray",
        vmin=0,
        vmax=255,
        interpolation="nearest",
    )
    axes.set_title(title, fontsize=9)


def _lay_over(axes: Axes, pixels: Pixels, panel: Panel) -> None:
    grey = pixels.mean(axis=2) / 255  # (H, W)
    axes.axis("off")
    axes.imshow(0.35 + 0.5 * grey, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    heat = panel.scale()
    axes.imshow(
        heat,
        cmap="bwr" if panel.signed else "inferno",
        vmin=-1 if panel.signed else 0,
        vmax=1,
        alpha=np.sqrt(np.abs(heat)) * 0.8,
        interpolation="bilinear" if panel.coarse else "nearest",
    )
    axes.set_title(panel.title, fontsize=9)


def _bars(axes: Axes, top: Mapping[str, float]) -> None:
    """Probabilities of classes, as bars with their names in them."""
    places = range(len(top))
    axes.barh(places, list(top.values()), color="tab:blue", alpha=0.45, height=0.7)
    for place, (name, probability) in zip(places, top.items(), strict=True):
        short = name if len(name) <= 20 else name[:19] + "…"
        axes.text(0.02, place, f"{probability:.1%}  {short}", va="center", fontsize=9, parse_math=False)
    axes.set(xlim=(0, 1), ylim=(4.5, -0.5), yticks=[])
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=8)
    axes.set_title("probability", fontsize=9)
