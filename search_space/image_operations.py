"""Image operations: what automatic augmentation draws from, on batches of normalised images.

An operation takes ``images`` (N, C, H, W) and one magnitude an image, (N,) in [-1, 1], where 0 does
nothing and 1 is the far end of the range of AutoAugment (Cubuk et al., 2019), which RandAugment (Cubuk et al.,
2020) keeps; only shifts go less far, and autocontrast has no magnitude. The deviation of the data is the unit of
brightness, and black and white are the least and greatest values among the images given, as normalised images no
longer know their range; so nothing is clipped. Of RandAugment's operations, equalization is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from convscout.search_space.transfer import to_device

Operation = Callable[[Tensor, Tensor], Tensor]

OPERATIONS: dict[str, Operation] = {}

ENHANCEMENT = 0.9  # by how much of itself contrast, saturation or sharpness may change
DEGREES = 30.0
SHEAR = 0.3
SHIFT = 0.3  # of the side
BITS = 4  # that posterizing may take of 8


def operation(name: str) -> Callable[[Operation], Operation]:
    """Decorator: make an operation known as ``name``."""

    def add(function: Operation) -> Operation:
        OPERATIONS[name] = function
        return function

    return add


def apply_drawn(images: Tensor, drawn: Tensor, magnitudes: Tensor) -> Tensor:
    """Each image through its own operation: ``drawn`` (N,) numbers the entries of ``OPERATIONS``."""
    changed = images.clone()
    for number, function in enumerate(OPERATIONS.values()):
        members = (drawn == number).nonzero().flatten()
        if len(members):
            there = to_device(members, images.device)
            changed[there] = function(images[there], to_device(magnitudes[members], images.device))
    return changed


def warp(images: Tensor, matrices: Tensor) -> Tensor:
    """Images (N, C, H, W) moved by ``matrices`` (N, 2, 3), mirrored beyond their edges → (N, C, H, W), channels-last.

    A matrix maps coordinates of the new image to the old one's; both run from -1 to 1.
    """
    grid = F.affine_grid(
        to_device(matrices, images.device), list(images.shape), align_corners=False
    )  # (N, H, W, 2)
    moved = F.grid_sample(images.float(), grid, padding_mode="reflection", align_corners=False)
    return moved.to(images.dtype).contiguous(memory_format=torch.channels_last)


def still(magnitudes: Tensor) -> Tensor:
    """As many matrices that move nothing as there are ``magnitudes``: (N,) → (N, 2, 3)."""
    return torch.eye(2, 3, device=magnitudes.device).repeat(len(magnitudes), 1, 1)


def rotations(angles: Tensor) -> Tensor:
    """Matrices that turn by ``angles`` (N,) in radians: (N, 2, 3)."""
    matrices = still(angles)
    matrices[:, 0, 0] = matrices[:, 1, 1] = angles.cos()
    matrices[:, 0, 1], matrices[:, 1, 0] = -angles.sin(), angles.sin()
    return matrices


def shears(slopes: Tensor) -> Tensor:
    """Matrices that slide each row by ``slopes`` (N,) times its distance from the middle: (N, 2, 3)."""
    matrices = still(slopes)
    matrices[:, 0, 1] = slopes
    return matrices


def _enhance(images: Tensor, plain: Tensor, magnitudes: Tensor) -> Tensor:
    """``images`` further away from ``plain``, or closer to it."""
    factor = (1 + ENHANCEMENT * magnitudes).to(images.dtype).view(-1, 1, 1, 1)
    return plain + factor * (images - plain)


def _black_and_white(images: Tensor) -> tuple[Tensor, Tensor]:
    """The least and greatest value of each channel: (1, C, 1, 1) both."""
    return images.amin((0, 2, 3), keepdim=True), images.amax((0, 2, 3), keepdim=True)


@operation("identity")
def identity(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Images as they are."""
    return images


@operation("rotate")
def rotate(images: Tensor, magnitudes: Tensor) -> Tensor:
    """By up to 30 degrees."""
    return warp(images, rotations(math.radians(DEGREES) * magnitudes))


@operation("shear_x")
def shear_x(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Rows slide."""
    return warp(images, shears(SHEAR * magnitudes))


@operation("shear_y")
def shear_y(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Columns slide."""
    matrices = still(magnitudes)
    matrices[:, 1, 0] = SHEAR * magnitudes
    return warp(images, matrices)


@operation("translate_x")
def translate_x(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Sideways."""
    matrices = still(magnitudes)
    matrices[:, 0, 2] = 2 * SHIFT * magnitudes  # a side is 2 long
    return warp(images, matrices)


@operation("translate_y")
def translate_y(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Up or down."""
    matrices = still(magnitudes)
    matrices[:, 1, 2] = 2 * SHIFT * magnitudes
    return warp(images, matrices)


@operation("brightness")
def brightness(images: Tensor, magnitudes: Tensor) -> Tensor:
    """By up to one deviation of the data."""
    return images + magnitudes.to(images.dtype).view(-1, 1, 1, 1)


@operation("contrast")
def contrast(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Further away from the image's own mean, or closer to it."""
    return _enhance(images, images.mean((1, 2, 3), keepdim=True), magnitudes)


@operation("saturation")
def saturation(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Further away from grey, or closer to it."""
    return _enhance(images, images.mean(1, keepdim=True), magnitudes)


@operation("sharpness")
def sharpness(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Further away from the blurred image, or closer to it."""
    channels = images.shape[1]
    kernel = torch.full((3, 3), 1 / 13, device=images.device, dtype=images.dtype)
    kernel[1, 1] = 5 / 13
    blurred = F.conv2d(
        F.pad(images, (1, 1, 1, 1), mode="replicate"), kernel.expand(channels, 1, 3, 3), groups=channels
    )
    return _enhance(images, blurred, magnitudes)


@operation("posterize")
def posterize(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Fewer levels between black and white, down to 16."""
    black, white = _black_and_white(images)
    steps = (torch.exp2(8 - BITS * magnitudes.abs()) - 1).round().view(-1, 1, 1, 1)
    width = (white - black).clamp(min=1e-6) / steps.to(images.dtype)
    return black + ((images - black) / width).round() * width


@operation("solarize")
def solarize(images: Tensor, magnitudes: Tensor) -> Tensor:
    """What is brighter than a threshold is inverted; at the far end that is everything."""
    black, white = _black_and_white(images)
    threshold = white - (white - black) * magnitudes.abs().to(images.dtype).view(-1, 1, 1, 1)
    return torch.where(images > threshold, black + white - images, images)


@operation("autocontrast")
def autocontrast(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Every channel of every image stretched from black to white, whatever the magnitude."""
    black, white = _black_and_white(images)
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    stretch = torch.where(high > low, (white - black) / (high - low).clamp(min=1e-6), 1.0)
    return black + (images - low) * stretch
