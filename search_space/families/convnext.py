"""ConvNeXt: a residual net brought up to date, piece by piece, with what vision transformers do.

Liu, Mao, Wu, Feichtenhofer, Darrell & Xie (2022), "A ConvNet for the 2020s", section 2, figure 4 and appendix A;
layer scale from Touvron et al. (2021), "Going Deeper with Image Transformers", section 2. Deviations: the
side of the stem's patches follows the size of the image, and those of tiny images overlap; stages stop
halving when maps would fall below 4 × 4; filters are drawn after He et al. (2015); branches of the shallow
default nets start at a tenth instead of a millionth, which trainings of a few epochs would not get over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.geometry import SMALLEST_MAP, require_side, stage_widths
from convscout.search_space.knobs import choice, integer, real
from convscout.search_space.layers import ACTIVATIONS, StochasticDepth, initialize
from convscout.search_space.staged import StagedNet

NORM_EPS = 1e-6


def _variant(width: int, depth3: int, drop_path: float) -> dict[str, Any]:
    return dict(
        width=width, depth1=3, depth2=3, depth3=depth3, depth4=3, layer_scale=1e-6, drop_path=drop_path
    )


@families.register("convnext")
@dataclass(frozen=True, kw_only=True)
class ConvNeXtConfig(ArchitectureConfig):
    """A ConvNeXt of three or four stages; stage i has ``depth<i>`` blocks of ``width × 2 ** (i - 1)`` maps."""

    width: int = integer(48, low=16, high=64, log=True, help="maps of the first stage; doubled each stage")
    depth1: int = integer(1, low=1, high=3, maximum=64, help="blocks in stage 1")
    depth2: int = integer(1, low=1, high=3, maximum=64, help="blocks in stage 2")
    depth3: int = integer(2, low=1, high=4, maximum=64, help="blocks in stage 3")
    depth4: int = integer(
        0, low=0, high=1, minimum=0, maximum=64, help="blocks in stage 4; 0 for no such stage"
    )
    kernel_size: int = choice(7, (3, 5, 7), legal=(3, 5, 7, 9, 11), help="side of a filter in pixels")
    expansion: int = integer(4, low=2, high=4, maximum=8, help="units within a block ÷ its maps")
    activation: str = choice("gelu", ("relu", "gelu", "silu"), legal=tuple(ACTIVATIONS), help="non-linearity")
    layer_scale: float = real(
        0.1, low=1e-2, high=1.0, log=True, maximum=1.0, help="factor on a branch at the start"
    )
    drop_path: float = real(
        0.0, low=0.0, high=0.2, maximum=0.9, help="probability of skipping the last block; rises to it from 0"
    )
    head_dropout: float = real(0.0, low=0.0, high=0.5, maximum=0.9, help="probability of dropping a feature")

    strength: ClassVar[float] = 0.57
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "convnext_tiny": _variant(96, 9, 0.1),
        "convnext_small": _variant(96, 27, 0.4),
        "convnext_base": _variant(128, 27, 0.5),
        "convnext_large": _variant(192, 27, 0.5),
    }

    def build(self, image: ImageSpec) -> ConvNeXt:
        require_side(self.name, image, 8)
        return ConvNeXt(self, image)


# geometry


def patch_side(image_size: int) -> int:
    """Side of the stem's patches in pixels, so that the first stage sees 8 to 56 pixels a side of common images."""
    if image_size < 16:
        return 1
    return 2 if image_size < 112 else 4


def halvings(side: int, num_stages: int) -> tuple[int, ...]:
    """The stride into each stage: 1 for the first, then 2 for as long as maps stay ``SMALLEST_MAP`` wide."""
    strides = []
    for stage in range(num_stages):
        strides.append(2 if stage and side >= 2 * SMALLEST_MAP else 1)
        side //= strides[-1]
    return tuple(strides)


def stage_depths(config: ConvNeXtConfig) -> tuple[int, ...]:
    """Blocks of each stage there is."""
    depths = (config.depth1, config.depth2, config.depth3, config.depth4)
    return tuple(depth for depth in depths if depth)


# blocks


class MapNorm(nn.LayerNorm):
    """Layer norm over the maps of each pixel: (N, C, H, W) → (N, C, H, W).

    In the channels-last memory format the maps of a pixel lie side by side, and nothing is moved.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=NORM_EPS)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # (N, H, W, C) and back


class ConvNeXtBlock(nn.Module):
    """x + scale · (one filter a map, norm and two layers a pixel): (N, C, H, W) → (N, C, H, W)."""

    def __init__(self, channels: int, drop_path: float, config: ConvNeXtConfig) -> None:
        super().__init__()
        kernel_size, hidden = config.kernel_size, config.expansion * channels
        self.scale = nn.Parameter(torch.full((channels,), config.layer_scale))
        self.conv = nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=NORM_EPS)
        self.expand = nn.Linear(channels, hidden)
        self.act = ACTIVATIONS[config.activation]()
        self.project = nn.Linear(hidden, channels)
        self.drop_path = StochasticDepth(drop_path)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        pixels = self.norm(self.conv(maps).permute(0, 2, 3, 1))  # (N, H, W, C), where linear layers work
        pixels = self.scale * self.project(self.act(self.expand(pixels)))
        branch: Tensor = self.drop_path(pixels.permute(0, 3, 1, 2))  # (N, C, H, W)
        return maps + branch


def make_patches(in_channels: int, width: int, side: int) -> nn.Sequential:
    """The stem: every patch of the image to one pixel, (N, C, H, W) → (N, width, H // side, W // side).

    Patches of a single pixel become 3 × 3 pixels that overlap: of one grey pixel, the norm leaves the sign.
    """
    kernel_size, padding = (side, 0) if side > 1 else (3, 1)
    return nn.Sequential(nn.Conv2d(in_channels, width, kernel_size, side, padding), MapNorm(width))


def make_transition(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """From stage to stage: (N, in_channels, H, W) → (N, out_channels, H // stride, W // stride)."""
    return nn.Sequential(MapNorm(in_channels), nn.Conv2d(in_channels, out_channels, stride, stride))


class NormHead(nn.Sequential):
    """Global average pooling, norm, dropout and one linear layer: (N, C, H, W) → (N, num_classes)."""

    def __init__(self, in_channels: int, num_classes: int, config: ConvNeXtConfig) -> None:
        super().__init__(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),  # (N, C)
            nn.LayerNorm(in_channels, eps=NORM_EPS),
            nn.Dropout(config.head_dropout),
            nn.Linear(in_channels, num_classes),
        )


# net


class ConvNeXt(StagedNet):
    """A stem of patches, stages of blocks with transitions between them, and a head."""

    def __init__(self, config: ConvNeXtConfig, image: ImageSpec) -> None:
        depths, side = stage_depths(config), patch_side(image.image_size)
        widths = stage_widths(config.width, len(depths))
        strides = halvings(image.image_size // side, len(depths))
        stem = make_patches(image.in_channels, config.width, side)
        stages = nn.Sequential()
        channels, index = config.width, 0
        for width, depth, stride in zip(widths, depths, strides, strict=True):
            stage = nn.Sequential()
            if width != channels:
                stage.append(make_transition(channels, width, stride))
            for _ in range(depth):
                rate = config.drop_path * index / max(1, sum(depths) - 1)
                stage.append(ConvNeXtBlock(width, rate, config))
                index += 1
            stages.append(stage)
            channels = width
        super().__init__(stem, stages, NormHead(channels, image.num_classes, config))
        initialize(self)
