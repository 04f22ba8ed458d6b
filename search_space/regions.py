"""Regions: rectangles in images, for policies that cut them out or swap them."""

from __future__ import annotations

import torch
from torch import Tensor


def random_boxes(heights: Tensor, widths: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """The pixels of one box an image, of ``heights`` by ``widths`` pixels, both (N,) → (N, 1, side, side) bool.

    Its centre is anywhere in the image, and what reaches over the edge is cut off.
    """
    rows = _spans(heights, side, generator)
    columns = _spans(widths, side, generator)
    return rows[:, None, :, None] & columns[:, None, None, :]


def _spans(lengths: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Which pixels of a side a box covers: (N,) → (N, side) bool."""
    centres = torch.randint(side, lengths.shape, generator=generator)
    first = (centres - lengths // 2)[:, None]  # (N, 1)
    pixels = torch.arange(side)
    return (pixels >= first) & (pixels < first + lengths[:, None])
