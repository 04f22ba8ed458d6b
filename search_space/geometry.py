"""Geometry: how a network of several stages is laid over an image of any size. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from convscout.search_space.architecture import ImageSpec
from convscout.search_space.errors import UnbuildableError

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


def early_halvings(image_size: int, *, most: int) -> int:
    """How often a stem halves the side of the image, so that costly stages see at most 24 × 24 pixels.

    224-pixel images are halved ``most`` times (three in Szegedy et al., 2015), and 32-pixel ones once.
    """
    halvings = 0
    while image_size > 24 and halvings < most:
        image_size = -(-image_size // 2)
        halvings += 1
    return halvings


def divisible(channels: float, divisor: int) -> int:
    """``channels`` rounded to a multiple of ``divisor``, but down by no more than a tenth (MobileNets do so)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def fit_strides(side: int, strides: Sequence[int], keep: str) -> tuple[int, ...]:
    """``strides`` of 1 and 2, of which only as many halve as leave maps ``SMALLEST_MAP`` wide.

    ``keep`` names those that go on halving: the "early" ones, the "late" ones, or some "spread" over all.
    """
    halvings = [index for index, stride in enumerate(strides) if stride == 2]
    count = 0
    while count < len(halvings) and side >= 2 * SMALLEST_MAP - 1:
        side = -(-side // 2)
        count += 1
    last = len(halvings) - 1
    kept = {
        "early": halvings[:count],
        "late": halvings[len(halvings) - count :],
        "spread": [halvings[round(last * index / max(1, count - 1))] for index in range(count)],
    }[keep]
    return tuple(2 if index in kept else 1 for index in range(len(strides)))
