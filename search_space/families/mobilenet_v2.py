"""MobileNet v2: inverted residual blocks, thin at their ends and wide, but one filter a map, within.

Sandler, Howard, Zhu, Zhmoginov & Chen (2018), "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
sections 3.2, 3.3 and 4, table 2. Deviations: ReLU by default instead of ReLU6, whose bound is there for fixed-point
arithmetic; a depth multiplier, as in EfficientNet; the maps before the head are ``head_width`` and not
scaled with the net; small images are not halved five times but for as long as maps stay 4 × 4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.geometry import divisible, fit_strides, require_side
from convscout.search_space.initialization import silence
from convscout.search_space.knobs import choice, integer, real
from convscout.search_space.layers import (
    ConvNormAct,
    PoolHead,
    SqueezeExcitationKnobs,
    StochasticDepth,
    initialize,
)
from convscout.search_space.staged import StagedNet

CHANNEL_MULTIPLE = 8
STEM_WIDTH = 32


class StageRow(NamedTuple):
    """One line of the paper's table: blocks of ``width`` maps, the first of which strides."""

    expansion: int
    width: int
    depth: int
    stride: int
    kernel_size: int = 3


STAGES = (
    StageRow(1, 16, 1, 1),
    StageRow(6, 24, 2, 2),
    StageRow(6, 32, 3, 2),
    StageRow(6, 64, 4, 2),
    StageRow(6, 96, 3, 1),
    StageRow(6, 160, 3, 2),
    StageRow(6, 320, 1, 1),
)
_PAPER = dict(activation="relu6", depth_multiplier=1.0, expansion=6, head_width=1280, head_dropout=0.2)


@dataclass(frozen=True, kw_only=True)
class MobileKnobs(SqueezeExcitationKnobs):
    """What MobileNet v2 and EfficientNet have in common: one table of stages, scaled."""

    width_multiplier: float = real(
        0.5, low=0.25, high=1.0, maximum=8.0, minimum=0.05, help="times the paper's filters"
    )
    depth_multiplier: float = real(
        0.34, low=0.2, high=1.0, maximum=8.0, minimum=0.05, help="times the paper's blocks"
    )
    halving: str = choice(
        "spread", ("early", "spread", "late"), help="which strides still halve images too small for them all"
    )


@families.register("mobilenet_v2")
@dataclass(frozen=True, kw_only=True)
class MobileNetV2Config(MobileKnobs, ArchitectureConfig):
    """A MobileNet v2 of seven stages."""

    expansion: int = integer(4, low=2, high=6, maximum=16, help="maps within a block ÷ maps it is given")
    head_width: int = integer(256, low=128, high=512, log=True, help="maps before the head")

    strength: ClassVar[float] = 0.47
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "mobilenet_v2": _PAPER | dict(width_multiplier=1.0),
        "mobilenet_v2_0_5": _PAPER | dict(width_multiplier=0.5),
        "mobilenet_v2_1_4": _PAPER | dict(width_multiplier=1.4, head_width=1792),
    }

    def build(self, image: ImageSpec) -> MobileNet:
        require_side(self.name, image, 8)
        rows = [row if row.expansion == 1 else row._replace(expansion=self.expansion) for row in STAGES]
        return MobileNet(self, image, rows, head_width=self.head_width)


# geometry


@dataclass(frozen=True, kw_only=True)
class BlockPlan:
    """One block: how it changes the number of maps and their side."""

    in_channels: int
    out_channels: int
    expansion: int
    kernel_size: int
    stride: int


def plan_blocks(
    knobs: MobileKnobs, rows: Sequence[StageRow], stem_width: int, strides: Sequence[int]
) -> list[list[BlockPlan]]:
    """The blocks of each stage, the table's ``rows`` scaled as ``knobs`` say; ``strides`` has one a stage."""
    stages, channels = list[list[BlockPlan]](), stem_width
    for row, stride in zip(rows, strides, strict=True):
        width = scaled_width(row.width, knobs)
        blocks = []
        for index in range(math.ceil(row.depth * knobs.depth_multiplier)):
            blocks.append(
                BlockPlan(
                    in_channels=channels, out_channels=width, expansion=row.expansion,
                    kernel_size=row.kernel_size, stride=1 if index else stride,
                )
            )  # fmt: skip
            channels = width
        stages.append(blocks)
    return stages


def scaled_width(channels: int, knobs: MobileKnobs) -> int:
    """The table's ``channels``, scaled and rounded."""
    return divisible(channels * knobs.width_multiplier, CHANNEL_MULTIPLE)


# blocks


class InvertedResidual(nn.Module):
    """1 × 1 to more maps, one filter a map, 1 × 1 to fewer; added to the input where shapes agree.

    Maps (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)). The last
    convolution has no activation: it would lose what few maps hold (Sandler et al., 2018, section 3.2).
    Before it, maps may be weighted by what all of them show on average (Hu et al., 2018,
    "Squeeze-and-Excitation Networks", section 3). ``drop_path`` is the probability of skipping the
    block for an image in training (Huang et al., 2016, "Deep Networks with Stochastic Depth", section 3, who
    skip it for a batch).
    """

    def __init__(self, plan: BlockPlan, knobs: MobileKnobs, *, drop_path: float = 0.0) -> None:
        super().__init__()
        inner = plan.in_channels * plan.expansion
        layers: list[nn.Module] = []
        if plan.expansion > 1:
            layers.append(ConvNormAct(plan.in_channels, inner, knobs, kernel_size=1))
        layers.append(
            ConvNormAct(inner, inner, knobs, kernel_size=plan.kernel_size, stride=plan.stride, groups=inner)
        )
        layers += knobs.squeeze_excitation_layers(inner, reduced=plan.in_channels)
        layers.append(knobs.dropout_layer())
        layers.append(ConvNormAct(inner, plan.out_channels, knobs, kernel_size=1, activated=False))
        self.branch = nn.Sequential(*layers)
        self.added = plan.stride == 1 and plan.in_channels == plan.out_channels
        self.drop_path = StochasticDepth(drop_path)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, in_channels, H, W) → (N, out_channels, H', W')."""
        out: Tensor = self.branch(maps)
        return maps + self.drop_path(out) if self.added else out

    def silence(self) -> None:
        """Let the block start as the identity, where it has a way past its convolutions."""
        if self.added:
            silence(self.branch)


# net


class MobileNet(StagedNet):
    """A stem, the stages of a table, a last 1 × 1 convolution to ``head_width`` maps and a pooling head.

    The first block is never skipped; the others are with a probability that rises towards ``drop_path``.
    """

    def __init__(
        self,
        knobs: MobileKnobs,
        image: ImageSpec,
        rows: Sequence[StageRow],
        *,
        head_width: int,
        drop_path: float = 0.0,
    ) -> None:
        stem_width = scaled_width(STEM_WIDTH, knobs)
        stem_stride, *strides = fit_strides(
            image.image_size, (2, *(row.stride for row in rows)), knobs.halving
        )
        plans = plan_blocks(knobs, rows, stem_width, strides)
        stem = ConvNormAct(image.in_channels, stem_width, knobs, stride=stem_stride)
        stages = make_stages(plans, knobs, drop_path)
        stages.append(ConvNormAct(plans[-1][-1].out_channels, head_width, knobs, kernel_size=1))
        super().__init__(stem, stages, PoolHead(head_width, image.num_classes, knobs))
        initialize(self, knobs.init)


def make_stages(plans: list[list[BlockPlan]], knobs: MobileKnobs, drop_path: float) -> nn.Sequential:
    """The blocks of all stages, skipped the more often the deeper they are."""
    num_blocks = sum(len(stage) for stage in plans)
    stages, index = nn.Sequential(), 0
    for stage in plans:
        blocks = nn.Sequential()
        for plan in stage:
            blocks.append(InvertedResidual(plan, knobs, drop_path=drop_path * index / num_blocks))
            index += 1
        stages.append(blocks)
    return stages
