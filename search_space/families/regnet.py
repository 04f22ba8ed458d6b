"""RegNet: bottleneck stages whose widths follow one quantised straight line.

Radosavovic, Kosaraju, Girshick, He & Dollár (2020), "Designing Network Design Spaces", sections 3.3 to 5;
RegNetY is RegNetX with squeeze-and-excitation, and the variants are torchvision's models. Deviations: small
images are not halved five times but for as long as maps stay 4 × 4; there may be any number of stages, as
few blocks seldom spread over four.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, ClassVar

from torch import Tensor, nn

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.geometry import divisible, fit_strides, require_side
from convscout.search_space.initialization import silence
from convscout.search_space.knobs import choice, integer, real
from convscout.search_space.layers import ConvNormAct, PoolHead, SqueezeExcitationKnobs, initialize
from convscout.search_space.staged import StagedNet

WIDTH_MULTIPLE = 8


def _variant(depth: int, w0: int, wa: float, wm: float, group_width: int, *, se: bool) -> dict[str, Any]:
    return dict(
        depth=depth, w0=w0, wa=wa, wm=wm, group_width=group_width, squeeze_excitation=se, stem_width=32
    )  # fmt: skip


@families.register("regnet")
@dataclass(frozen=True, kw_only=True)
class RegNetConfig(SqueezeExcitationKnobs, ArchitectureConfig):
    """A RegNet of ``depth`` blocks: block i has ``w0 + wa · i`` filters, quantised by powers of ``wm``."""

    depth: int = integer(6, low=4, high=12, maximum=128, help="blocks in all stages together")
    w0: int = integer(48, low=16, high=64, step=8, maximum=1024, help="filters of the first block")
    wa: float = real(24.0, low=4.0, high=32.0, maximum=512.0, help="filters that each block adds")
    wm: float = real(2.0, low=1.5, high=3.0, minimum=1.1, maximum=8.0, help="filters of a stage ÷ the last")
    group_width: int = choice(
        16, (8, 16, 32), legal=(1, 8, 16, 24, 32, 40, 48, 56, 64, 112, 120, 128, 168, 232, 264),
        help="filters that share their inputs",
    )  # fmt: skip
    stem_width: int = integer(32, low=16, high=48, step=8, help="filters of the first convolution")
    halving: str = choice(
        "spread", ("early", "spread", "late"), help="which strides still halve images too small for them all"
    )

    strength: ClassVar[float] = 0.58
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "regnet_y_400mf": _variant(16, 48, 27.89, 2.09, 8, se=True),
        "regnet_y_800mf": _variant(14, 56, 38.84, 2.4, 16, se=True),
        "regnet_y_1_6gf": _variant(27, 48, 20.71, 2.65, 24, se=True),
        "regnet_y_3_2gf": _variant(21, 80, 42.63, 2.66, 24, se=True),
        "regnet_y_8gf": _variant(17, 192, 76.82, 2.19, 56, se=True),
        "regnet_y_16gf": _variant(18, 200, 106.23, 2.48, 112, se=True),
        "regnet_y_32gf": _variant(20, 232, 115.89, 2.53, 232, se=True),
        "regnet_y_128gf": _variant(27, 456, 160.83, 2.52, 264, se=True),
        "regnet_x_400mf": _variant(22, 24, 24.48, 2.54, 16, se=False),
        "regnet_x_800mf": _variant(16, 56, 35.73, 2.28, 16, se=False),
        "regnet_x_1_6gf": _variant(18, 80, 34.01, 2.25, 24, se=False),
        "regnet_x_3_2gf": _variant(25, 88, 26.31, 2.25, 48, se=False),
        "regnet_x_8gf": _variant(23, 80, 49.56, 2.88, 120, se=False),
        "regnet_x_16gf": _variant(22, 216, 55.59, 2.1, 128, se=False),
        "regnet_x_32gf": _variant(23, 320, 69.86, 2.0, 168, se=False),
    }

    def build(self, image: ImageSpec) -> RegNet:
        require_side(self.name, image, 8)
        return RegNet(self, image)


# geometry


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """Blocks of one width, their 3 × 3 filters in groups of ``group_width``."""

    width: int
    depth: int
    group_width: int


def block_widths(config: RegNetConfig) -> list[int]:
    """Filters of each block: the line, each point moved to the nearest power (equations 2 to 4)."""
    widths = []
    for block in range(config.depth):
        power = round(math.log1p(config.wa * block / config.w0) / math.log(config.wm))
        widths.append(max(1, round(config.w0 * config.wm**power / WIDTH_MULTIPLE)) * WIDTH_MULTIPLE)
    return widths


def plan_stages(config: RegNetConfig) -> list[StagePlan]:
    """Blocks of equal width form a stage, whose width is rounded to whole groups."""
    plans = []
    for width, blocks in groupby(block_widths(config)):
        group_width = min(config.group_width, width)
        plans.append(
            StagePlan(width=divisible(width, group_width), depth=len(list(blocks)), group_width=group_width)
        )
    return plans


# blocks


class RegNetBlock(nn.Module):
    """act(x + 1 × 1, grouped 3 × 3 and 1 × 1 convolution of x), the first and last of which keep the width.

    Maps (N, in_channels, H, W) to (N, width, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, plan: StagePlan, stride: int, config: RegNetConfig) -> None:
        super().__init__()
        width = plan.width
        same = stride == 1 and in_channels == width
        self.shortcut = (
            nn.Identity()
            if same
            else ConvNormAct(in_channels, width, config, kernel_size=1, stride=stride, activated=False)
        )
        self.branch = nn.Sequential(
            ConvNormAct(in_channels, width, config, kernel_size=1),
            ConvNormAct(width, width, config, stride=stride, groups=width // plan.group_width),
            *config.squeeze_excitation_layers(width, reduced=in_channels),  # as in the published nets
            config.dropout_layer(),
            ConvNormAct(width, width, config, kernel_size=1, activated=False),
        )
        self.act = config.activation_layer()

    def forward(self, maps: Tensor) -> Tensor:
        """(N, in_channels, H, W) → (N, width, H', W')."""
        total: Tensor = self.act(self.shortcut(maps) + self.branch(maps))
        return total

    def silence(self) -> None:
        """Let the branch start as zero."""
        silence(self.branch)


# net


class RegNet(StagedNet):
    """A stem of one convolution, stages of blocks and a pooling head."""

    def __init__(self, config: RegNetConfig, image: ImageSpec) -> None:
        plans, channels = plan_stages(config), config.stem_width
        stem_stride, *strides = fit_strides(image.image_size, (2,) * (1 + len(plans)), config.halving)
        stem = ConvNormAct(image.in_channels, channels, config, stride=stem_stride)
        stages = nn.Sequential()
        for plan, stride in zip(plans, strides, strict=True):
            stage = nn.Sequential()
            for index in range(plan.depth):
                stage.append(RegNetBlock(channels, plan, 1 if index else stride, config))
                channels = plan.width
            stages.append(stage)
        super().__init__(stem, stages, PoolHead(channels, image.num_classes, config))
        initialize(self, config.init)
