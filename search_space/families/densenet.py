"""DenseNet: every layer reads the maps of all layers before it in its block, and adds a few of its own.

Huang, Liu, van der Maaten & Weinberger (2017), "Densely Connected Convolutional Networks", sections 3 and
4.2, table 1. Weights are drawn as in its authors' code, with the fan-out of He et al. (2015). Deviations: the
stem's size and stride follow the size of the image; transitions stop pooling when maps would fall below 4 × 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.families.resnet import stem_stride_knob
from convscout.search_space.geometry import require_side, stage_strides, stem_reduction
from convscout.search_space.knobs import choice, integer, real
from convscout.search_space.layers import NormAct, PoolHead, PreActKnobs, bare_conv, initialize
from convscout.search_space.staged import StagedNet

BOTTLENECK = 4  # a bottleneck has this many times the growth rate of filters (section 3)


def _variant(growth_rate: int, width: int, *depths: int) -> dict[str, Any]:
    stages = {f"depth{stage}": depth for stage, depth in enumerate(depths, start=1)}
    return {"growth_rate": growth_rate, "width": width, "stem_stride": 1, "bottleneck": True, **stages}


@families.register("densenet")
@dataclass(frozen=True, kw_only=True)
class DenseNetConfig(PreActKnobs, ArchitectureConfig):
    """A DenseNet of three or four blocks; block i has ``depth<i>`` layers of ``growth_rate`` filters."""

    width: int = integer(64, low=16, high=64, log=True, help="filters of the stem")
    stem_stride: int = stem_stride_knob(2)
    growth_rate: int = integer(32, low=12, high=48, log=True, help="maps that each layer adds")
    depth1: int = integer(2, low=1, high=4, maximum=64, help="layers in block 1")
    depth2: int = integer(3, low=1, high=6, maximum=64, help="layers in block 2")
    depth3: int = integer(3, low=1, high=8, maximum=64, help="layers in block 3")
    depth4: int = integer(
        0, low=0, high=4, minimum=0, maximum=64, help="layers in block 4; 0 for no such block"
    )
    bottleneck: bool = choice(
        False, (False, True), help="1 × 1 convolutions before those of 3 × 3, which then read fewer maps"
    )
    compression: float = real(
        0.5, low=0.3, high=1.0, minimum=0.05, maximum=1.0, help="share of the maps that a transition keeps"
    )

    strength: ClassVar[float] = 0.66
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "densenet121": _variant(32, 64, 6, 12, 24, 16),
        "densenet161": _variant(48, 96, 6, 12, 36, 24),
        "densenet169": _variant(32, 64, 6, 12, 32, 32),
        "densenet201": _variant(32, 64, 6, 12, 48, 32),
        "densenet_40_12": _variant(12, 16, 12, 12, 12, 0) | {"bottleneck": False, "compression": 1.0},
        "densenet_bc_100_12": _variant(12, 24, 16, 16, 16, 0),
    }

    def build(self, image: ImageSpec) -> DenseNet:
        require_side(self.name, image, 8)
        return DenseNet(self, image)


# geometry


def stage_depths(config: DenseNetConfig) -> tuple[int, ...]:
    """Layers of each block there is."""
    depths = (config.depth1, config.depth2, config.depth3, config.depth4)
    return tuple(depth for depth in depths if depth)


# blocks


class DenseNetStem(nn.Sequential):
    """The image to ``width`` maps, shrunk by ``reduction``: (N, C, H, W) → (N, width, H', W').

    Maps are activated only to be pooled; the first layer does it otherwise.
    """

    def __init__(self, in_channels: int, width: int, reduction: int, config: DenseNetConfig) -> None:
        stride = min(2, reduction)
        super().__init__(bare_conv(in_channels, width, kernel_size=7 if stride > 1 else 3, stride=stride))
        if reduction == 4:
            self.extend((NormAct(width, config), nn.MaxPool2d(3, stride=2, padding=1)))


class DenseLayer(nn.Sequential):
    """The maps that a layer adds to what it reads: (N, in_channels, H, W) → (N, growth_rate, H, W)."""

    def __init__(self, in_channels: int, config: DenseNetConfig) -> None:
        growth_rate, inner = config.growth_rate, BOTTLENECK * config.growth_rate
        super().__init__(NormAct(in_channels, config))
        if config.bottleneck:
            self.extend((bare_conv(in_channels, inner, kernel_size=1), NormAct(inner, config)))
        self.append(bare_conv(inner if config.bottleneck else in_channels, growth_rate, kernel_size=3))
        self.append(config.dropout_layer())


class DenseBlock(nn.ModuleList):
    """``depth`` layers: (N, in_channels, H, W) → (N, in_channels + depth · growth_rate, H, W)."""

    def __init__(self, in_channels: int, depth: int, config: DenseNetConfig) -> None:
        growth_rate = config.growth_rate
        super().__init__(DenseLayer(in_channels + index * growth_rate, config) for index in range(depth))

    def forward(self, maps: Tensor) -> Tensor:
        """(N, in_channels, H, W) → (N, in_channels + depth · growth_rate, H, W)."""
        for layer in self:
            maps = torch.cat((maps, layer(maps)), dim=1)
        return maps


class Transition(nn.Sequential):
    """Fewer maps, and smaller ones: (N, in_channels, H, W) → (N, out_channels, H', W')."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, config: DenseNetConfig) -> None:
        super().__init__(
            NormAct(in_channels, config),
            bare_conv(in_channels, out_channels, kernel_size=1),
            nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False) if stride > 1 else nn.Identity(),
        )


# net


class DenseNet(StagedNet):
    """A stem, dense blocks with transitions between them, a last activation and a pooling head."""

    def __init__(self, config: DenseNetConfig, image: ImageSpec) -> None:
        reduction = max(config.stem_stride, stem_reduction(image.image_size))
        depths = stage_depths(config)
        strides = stage_strides(-(-image.image_size // reduction), len(depths))
        channels = config.width
        stem = DenseNetStem(image.in_channels, channels, reduction, config)
        blocks = nn.Sequential()
        for index, (depth, stride) in enumerate(zip(depths, strides, strict=True)):
            if index:
                kept = max(1, int(config.compression * channels))
                blocks.append(Transition(channels, kept, stride, config))
                channels = kept
            blocks.append(DenseBlock(channels, depth, config))
            channels += depth * config.growth_rate
        blocks.append(NormAct(channels, config))
        super().__init__(stem, blocks, PoolHead(channels, image.num_classes, config))
        initialize(self, config.init)
