"""Resizing within a network: its answers to pictures of any size, in every runtime alike.

Written as two products of matrices, because runtimes differ in what they make of their own resizing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CentreSquare(nn.Module):
    """The square in the middle of images (N, C, H, W), resized to (N, C, size, size).

    By a triangle filter that widens where it shrinks, as Pillow's ``BILINEAR`` does. Images of that size are
    returned as they are.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        count, _, height, width = images.shape
        rows, columns = _centres(images.new_ones(height)), _centres(images.new_ones(width))  # (1, H), (1, W)
        side = torch.minimum(rows[:, -1:], columns[:, -1:]) + 0.5  # (1, 1)
        # one for each image, as onnxruntime takes one for all of no images to be a mistake
        across = self._filter(rows, side).expand(count, 1, -1, -1)  # (N, 1, size, H)
        return across @ images @ self._filter(columns, side).T

    def _filter(self, centres: Tensor, side: Tensor) -> Tensor:
        """What each pixel (1, W) counts in each of the result (size, W)."""
        scale = side / self.size
        start = (centres[:, -1:] + 0.5 - side) / 2
        wanted = start + (torch.arange(self.size, device=centres.device).unsqueeze(1) + 0.5) * scale
        weights = (1 - (centres - wanted).abs() / scale.clamp_min(1)).clamp_min(0)
        return weights / weights.sum(dim=1, keepdim=True)


def _centres(ones: Tensor) -> Tensor:
    """Where as many pixels as there are ``ones`` (L,) are: 0.5, 1.5, … as (1, L)."""
    return (ones.cumsum(dim=0) - 0.5).unsqueeze(0)
