"""VGG: stages of 3 × 3 convolutions, each ended by max pooling.

Simonyan & Zisserman (2015), "Very Deep Convolutional Networks for Large-Scale Image Recognition",
table 1. Deviations: batch norm and global average pooling by default instead of two layers of 4,096
units; weights are drawn after He et al. (2015); images above 48 pixels are shrunk by a stride of the first
convolution unless ``stem`` is "plain"; stages stop pooling when their maps would fall below 2 × 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from torch import nn

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.errors import Problem
from convscout.search_space.geometry import require_side, stage_widths, stem_reduction
from convscout.search_space.knobs import choice, integer
from convscout.search_space.layers import POOLINGS, ConvKnobs, ConvNormAct, PoolHead, initialize, pool_layer
from convscout.search_space.staged import StagedNet

FC_GRID = 7  # side of the largest map that the fully connected head sees
SMALLEST_MAP = 2

_PAPER = dict(norm_placement="none", head="fc", stem="plain", width=64, head_dropout=0.5)
_PAPER_BN = _PAPER | dict(norm_placement="before", conv_bias=True)
_DEPTHS = {
    "vgg11": dict(depth1=1, depth2=1, depth3=2, depth4=2, depth5=2),
    "vgg13": dict(depth1=2, depth2=2, depth3=2, depth4=2, depth5=2),
    "vgg16": dict(depth1=2, depth2=2, depth3=3, depth4=3, depth5=3),
    "vgg19": dict(depth1=2, depth2=2, depth3=4, depth4=4, depth5=4),
}


@families.register("vgg")
@dataclass(frozen=True, kw_only=True)
class VGGConfig(ConvKnobs, ArchitectureConfig):
    """A VGG of up to five stages; stage i has ``depth<i>`` convolutions, and 0 means there is none."""

    width: int = integer(32, low=8, high=48, log=True, help="filters of the first stage; doubled up to 8 ×")
    depth1: int = integer(1, low=1, high=2, maximum=8, help="convolutions in stage 1")
    depth2: int = integer(2, low=1, high=3, maximum=8, help="convolutions in stage 2")
    depth3: int = integer(2, low=1, high=3, maximum=8, help="convolutions in stage 3")
    depth4: int = integer(1, low=0, high=2, minimum=0, maximum=8, help="convolutions in stage 4")
    depth5: int = integer(0, low=0, high=0, minimum=0, maximum=8, help="convolutions in stage 5")
    stem: str = choice(
        "strided", ("strided",), legal=("strided", "plain"), help="first layer of large images"
    )
    pool: str = choice("max", ("max",), legal=POOLINGS, help="how a stage halves its maps")
    head: str = choice("pool", ("pool",), legal=("pool", "fc"), help="global pooling, or two hidden layers")
    hidden: int = integer(
        4096, low=64, high=512, log=True, when={"head": ("fc",)}, help="units of a hidden layer"
    )
    conv_bias: bool = choice(
        False, (False,), legal=(False, True), help="filters have a bias even before a norm"
    )

    strength: ClassVar[float] = 0.721
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        **{name: _PAPER | depths for name, depths in _DEPTHS.items()},
        **{f"{name}_bn": _PAPER_BN | depths for name, depths in _DEPTHS.items()},
    }

    def conflicts(self) -> list[Problem]:
        if self.depth5 and not self.depth4:
            rule = "must be 0 while depth4 is 0, as stages have no gaps"
            return [Problem(field="vgg.depth5", value=self.depth5, rule=rule)]
        return []

    def build(self, image: ImageSpec) -> VGG:
        require_side(self.name, image, 8)
        return VGG(self, image)


# geometry


def stage_depths(config: VGGConfig) -> tuple[int, ...]:
    """Convolutions of each stage there is."""
    depths = (config.depth1, config.depth2, config.depth3, config.depth4, config.depth5)
    return tuple(depth for depth in depths if depth)


def stage_pools(side: int, num_stages: int) -> tuple[int, ...]:
    """The pooling at the end of each stage: 2 for as long as it leaves ``SMALLEST_MAP``, then 1."""
    pools = []
    for _ in range(num_stages):
        pools.append(2 if side >= 2 * SMALLEST_MAP else 1)
        side //= pools[-1]
    return tuple(pools)


# blocks


class Stage(nn.Sequential):
    """``depth`` convolutions and a pooling: (N, in_channels, H, W) → (N, out_channels, H', W')."""

    def __init__(
        self, in_channels: int, out_channels: int, config: VGGConfig, *, depth: int, stride: int, pool: int
    ) -> None:
        inputs = (in_channels, *[out_channels] * (depth - 1))
        convs = [
            ConvNormAct(
                channels, out_channels, config, stride=1 if index else stride, biased=config.conv_bias
            )
            for index, channels in enumerate(inputs)
        ]
        super().__init__(*convs, pool_layer(config.pool, out_channels, pool), config.dropout_layer())


class VGGHead(nn.Sequential):
    """The paper's two hidden layers: (N, C, H, W) → (N, num_classes)."""

    def __init__(self, in_channels: int, grid: int, num_classes: int, config: VGGConfig) -> None:
        hidden = config.hidden
        super().__init__(
            nn.AdaptiveAvgPool2d(grid),
            nn.Flatten(),  # (N, C · grid · grid)
            *(
                nn.Linear(in_channels * grid**2, hidden),
                config.activation_layer(),
                nn.Dropout(config.head_dropout),
            ),
            *(nn.Linear(hidden, hidden), config.activation_layer(), nn.Dropout(config.head_dropout)),
            nn.Linear(hidden, num_classes),
        )


# net


class VGG(StagedNet):
    """Stages and a head."""

    def __init__(self, config: VGGConfig, image: ImageSpec) -> None:
        depths = stage_depths(config)
        widths = stage_widths(config.width, len(depths))
        stride = stem_reduction(image.image_size) if config.stem == "strided" else 1
        side = -(-image.image_size // stride)
        pools = stage_pools(side, len(depths))
        strides = [stride] + [1] * (len(depths) - 1)
        ends = pairwise([image.in_channels, *widths])
        stages = nn.Sequential(
            *(
                Stage(*channels, config, depth=depth, stride=stride, pool=pool)
                for channels, depth, stride, pool in zip(ends, depths, strides, pools, strict=True)
            )
        )
        for pool in pools:
            side //= pool
        head = make_head(widths[-1], side, image.num_classes, config)
        super().__init__(nn.Identity(), stages, head)
        initialize(self, config.init)


def make_head(in_channels: int, side: int, num_classes: int, config: VGGConfig) -> nn.Module:
    """The head that ``config.head`` names, for maps of ``side`` pixels."""
    if config.head == "pool":
        return PoolHead(in_channels, num_classes, config)
    return VGGHead(in_channels, min(FC_GRID, side), num_classes, config)
