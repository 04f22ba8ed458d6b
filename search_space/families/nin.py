"""NIN: each convolution is followed by 1 × 1 convolutions, a small network over the maps of one pixel.

Lin, Chen & Yan (2014), "Network in Network", sections 3.1 (mlpconv) and 3.2 (a map for each class, averaged); the
filters of ``nin_cifar10`` are those that its authors published with it. Deviations: all poolings are of one kind,
where the published net takes first the maximum and then the mean; batch norm by default; weights are drawn after He
et al. (2015); by default the stem strides, as full-size maps cost most, and the logits are not rectified; stages
stop pooling when maps would fall below 4 × 4.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.geometry import SMALLEST_MAP, require_side, stage_strides, stem_reduction
from convscout.search_space.knobs import choice, integer, real
from convscout.search_space.layers import POOLS, ConvKnobs, ConvNormAct, PoolHead, initialize
from convscout.search_space.staged import StagedNet

LAST_KERNEL = 3  # side of the filters of the last stage
LARGE_KERNEL = 11  # of a stem with a stride of 4
NARROWING = (160 / 192, 96 / 192)  # filters of the first stage's 1 × 1 convolutions ÷ those of its first


@families.register("nin")
@dataclass(frozen=True, kw_only=True)
class NINConfig(ConvKnobs, ArchitectureConfig):
    """A NIN. Stage i has ``width × growth ** i`` filters in each of its convolutions."""

    width: int = integer(96, low=24, high=128, log=True, minimum=2, help="filters of the first stage")
    depth: int = integer(3, low=2, high=4, maximum=6, help="stages of one mlpconv each")
    growth: float = real(
        1.0, low=1.0, high=2.0, minimum=0.5, maximum=4.0, help="filters of a stage ÷ the last"
    )
    kernel_size: int = choice(
        3, (3, 5), legal=(3, 5, 7), help="side of a stage's first filters, but for the last stage"
    )
    mlp_depth: int = integer(2, low=1, high=2, maximum=2, help="1 × 1 convolutions after each convolution")
    pool: str = choice("max", ("max", "avg"), help="how 3 × 3 pixels are pooled between stages")
    stem: str = choice(
        "strided", ("strided", "plain"), help="whether the first filters halve small images too"
    )
    head: str = choice(
        "linear", ("linear",), legal=("linear", "class_maps"), help="pool and map to logits, or the other way"
    )

    strength: ClassVar[float] = 0.64
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "nin_cifar10": dict(
            width=192, growth=1.0, norm_placement="none", kernel_size=5, stem="plain", head="class_maps",
            dropout_kind="element", dropout=0.5,
        ),
    }  # fmt: skip

    def build(self, image: ImageSpec) -> NIN:
        require_side(self.name, image, 8)
        return NIN(self, image)


# geometry


def stem_stride(config: NINConfig, image_size: int) -> int:
    """The stride of the first convolution (1, 2 or 4)."""
    halved = config.stem == "strided" and image_size >= 4 * SMALLEST_MAP
    return max(stem_reduction(image_size), 2 if halved else 1)


def stage_filters(config: NINConfig) -> list[list[int]]:
    """Filters of each convolution of each stage. The head stands for the last 1 × 1 of the last stage."""
    stages = [
        [max(1, round(config.width * config.growth**stage))] * (1 + config.mlp_depth)
        for stage in range(config.depth)
    ]
    stages[0][1:] = [round(config.width * share) for share in NARROWING[-config.mlp_depth :]]
    stages[-1].pop()
    return stages


# blocks


def make_mlpconv(
    in_channels: int, filters: list[int], config: NINConfig, *, kernel_size: int, stride: int
) -> nn.Sequential:
    """A convolution and 1 × 1 convolutions: (N, in_channels, H, W) → (N, filters[-1], H', W')."""
    first, *others = filters
    mlpconv = nn.Sequential(ConvNormAct(in_channels, first, config, kernel_size=kernel_size, stride=stride))
    for out_channels in others:
        mlpconv.append(ConvNormAct(first, out_channels, config, kernel_size=1))
        first = out_channels
    return mlpconv


class ClassMapHead(nn.Sequential):
    """One activated map for each class, averaged: (N, C, H, W) → (N, num_classes). Section 3.2."""

    def __init__(self, in_channels: int, num_classes: int, knobs: ConvKnobs) -> None:
        super().__init__(
            OrderedDict(
                dropout=nn.Dropout(knobs.head_dropout),
                conv=nn.Conv2d(in_channels, num_classes, 1),  # (N, num_classes, H, W)
                act=knobs.activation_layer(),
                pool=nn.AdaptiveAvgPool2d(1),  # (N, num_classes, 1, 1)
                flatten=nn.Flatten(),
            )
        )


HEADS: dict[str, type[PoolHead] | type[ClassMapHead]] = {"linear": PoolHead, "class_maps": ClassMapHead}


# net


class NIN(StagedNet):
    """Stages of one mlpconv, with pooling and dropout between them, and a head."""

    def __init__(self, config: NINConfig, image: ImageSpec) -> None:
        stride = stem_stride(config, image.image_size)
        pools = stage_strides(-(-image.image_size // stride), config.depth)
        channels = image.in_channels
        stages = nn.Sequential()
        for index, (filters, pool) in enumerate(zip(stage_filters(config), pools, strict=True)):
            kernel = LAST_KERNEL if index == config.depth - 1 else config.kernel_size
            stage = make_mlpconv(
                channels,
                filters,
                config,
                kernel_size=LARGE_KERNEL if stride == 4 else kernel,
                stride=stride,
            )
            if index:
                stage.insert(0, config.dropout_layer())
            if pool > 1:
                stage.insert(0, POOLS[config.pool](3, stride=2, ceil_mode=True))
            stages.append(stage)
            channels, stride = filters[-1], 1
        super().__init__(nn.Identity(), stages, HEADS[config.head](channels, image.num_classes, config))
        initialize(self, config.init)
