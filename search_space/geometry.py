"""Geometry: how a network of several stages is laid over an image of any size. Pure functions."""

from __future__ import annotations

from search_space.architecture import ImageSpec
from search_space.errors import UnbuildableError

SMALLEST_MAP = 4  # halving a map below this side leaves a 3 × 3 filter mostly padding


def stem_reduction(image_size: int) -> int:
    """By how much the stem shrinks the side of the image (1, 2 or 4), so that stages see at most 64 × 64.

    224-pixel images are shrunk by 4, as by the stem of He et al. (2016), and 32-pixel ones not at all.
    """
    if image_size <= 48:
        return 1
    return 2 if image_size <= 112 else 4


def stage_strides(side: int, num_stages: int) -> tuple[int, ...]:
    """The stride of each stage: 1 for the first, then 2 for as long as maps stay ``SMALLEST_MAP`` wide."""
    strides = []
    for stage in range(num_stages):
        stride = 2 if stage and side >= 2 * SMALLEST_MAP - 1 else 1  # 7 → 4, as a strided filter rounds up
        side = -(-side // stride)
        strides.append(stride)
    return tuple(strides)


def stage_widths(width: int, num_stages: int, *, most: int = 8) -> tuple[int, ...]:
    """Filters of each stage: doubling from ``width`` up to ``most`` times ``width``."""
    return tuple(width * min(2**stage, most) for stage in range(num_stages))


def require_side(family: str, image: ImageSpec, smallest: int) -> None:
    """Raise ``UnbuildableError`` where the images are smaller than ``smallest`` pixels."""
    if image.image_size < smallest:
        raise UnbuildableError(
            f"{family} needs images of at least {smallest} × {smallest} pixels, but these are "
            f"{image.image_size} × {image.image_size}; leave {family} out of families or enlarge the "
            f"images with image_size = {smallest}"
        )
