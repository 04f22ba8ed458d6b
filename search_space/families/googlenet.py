"""GoogLeNet (Inception v1): blocks of four branches, which 1 × 1 convolutions keep cheap.

Szegedy et al. (2015), "Going Deeper with Convolutions", sections 4 and 5, table 1. Deviations: batch norm
by default (Ioffe & Szegedy, 2015), and never local response normalization; the widest filters are 3 × 3 by
default instead of 5 × 5, and stage 3 starts with a pooling of 2 × 2 pixels instead of 3 × 3, both as
torchvision has them; auxiliary heads, which average their maps to 4 × 4, are there only if asked for; weights
are drawn after He et al. (2015); the stem shrinks small images less, and stages stop pooling when maps would
fall below 4 × 4.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.geometry import divisible, early_halvings, require_side, stage_strides
from convscout.search_space.knobs import choice, integer
from convscout.search_space.layers import ConvNormAct, PoolHead, SqueezeExcitationKnobs, initialize
from convscout.search_space.staged import StagedNet

AUXILIARY_GRID = 4
AUXILIARY_DROPOUT = 0.7

Step = tuple[int, int | tuple[int, int]]  # filters as published and their size
Filters = tuple[int, int, int, int, int, int]
# the columns of table 1: 1 × 1; 3 × 3 reduce, 3 × 3; 5 × 5 reduce, 5 × 5; pool projection
STAGES: tuple[tuple[Filters, ...], ...] = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)
POOL_KERNELS = {1: 3, 2: 2}  # sides of the poolings before stages 2 and 3

_FULL = dict(width=64, depth1=2, depth2=5, depth3=2)


@dataclass(frozen=True, kw_only=True)
class InceptionKnobs(SqueezeExcitationKnobs):
    """What all Inception networks have: one width, to which all filters as published are scaled."""

    published_width: ClassVar[int]

    width: int = integer(
        16, low=12, high=48, log=True, help="filters of the first convolution; scales all others"
    )
    auxiliary: bool = choice(False, (False, True), help="heads within stage 2 that help to train it")

    def scaled(self, filters: int) -> int:
        """``filters`` as published, scaled to the width, in multiples of 8."""
        return divisible(filters * self.width / self.published_width, 8)


@families.register("googlenet")
@dataclass(frozen=True, kw_only=True)
class GoogLeNetConfig(InceptionKnobs, ArchitectureConfig):
    """A GoogLeNet of three stages; stage i has the last ``depth<i>`` of its blocks in table 1."""

    published_width = 64

    depth1: int = integer(1, low=1, high=2, maximum=2, help="Inception blocks in stage 1 (3a, 3b)")
    depth2: int = integer(2, low=1, high=3, maximum=5, help="Inception blocks in stage 2 (4a … 4e)")
    depth3: int = integer(1, low=1, high=2, maximum=2, help="Inception blocks in stage 3 (5a, 5b)")
    wide_kernel: int = choice(3, (3, 5), help="side of the filters of the 5 × 5 branch")

    strength: ClassVar[float] = 0.65
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "googlenet": _FULL | dict(auxiliary=True, head_dropout=0.2),
        "googlenet_without_auxiliary": _FULL | dict(auxiliary=False, head_dropout=0.2),
        "inception_v1": _FULL | dict(auxiliary=True, head_dropout=0.4, wide_kernel=5, norm_placement="none"),
    }

    def build(self, image: ImageSpec) -> GoogLeNet:
        require_side(self.name, image, 8)
        return GoogLeNet(self, image)


# geometry


def stage_blocks(config: GoogLeNetConfig) -> list[tuple[Filters, ...]]:
    """The blocks of each stage, by their filters as published."""
    depths = (config.depth1, config.depth2, config.depth3)
    return [blocks[-depth:] for blocks, depth in zip(STAGES, depths, strict=True)]


def auxiliary_places(depth: int) -> list[int]:
    """The blocks of stage 2 that auxiliary heads look at: the first and the last but one (4a and 4d)."""
    return sorted({0, max(0, depth - 2)})


# blocks


class Chain(nn.Sequential):
    """Convolutions in a row, perhaps after a pooling: (N, in_channels, H, W) → (N, out_channels, H', W').

    ``stride`` and ``padding`` are those of the last; the others keep the size.
    """

    def __init__(
        self,
        in_channels: int,
        steps: Sequence[Step],
        config: InceptionKnobs,
        *,
        pool: nn.Module | None = None,
        stride: int = 1,
        padding: int | None = None,
    ) -> None:
        super().__init__(*[] if pool is None else [pool])
        for number, (filters, kernel_size) in enumerate(steps, start=1):
            last = number == len(steps)
            conv = ConvNormAct(
                in_channels,
                config.scaled(filters),
                config,
                kernel_size=kernel_size,
                stride=stride if last else 1,
                padding=padding if last else None,
            )
            self.append(conv)
            in_channels = config.scaled(filters)
        self.out_channels = in_channels


class Concatenation(nn.Module):
    """Branches over the same maps, side by side: (N, C, H, W) → (N, out_channels, H', W')."""

    def __init__(self, *branches: Chain) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.out_channels = sum(branch.out_channels for branch in branches)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) → (N, out_channels, H', W')."""
        return torch.cat([branch(maps) for branch in self.branches], dim=1)


def make_stem(in_channels: int, halvings: int, config: GoogLeNetConfig) -> tuple[nn.Sequential, int]:
    """Three convolutions, with poolings, that halve ``halvings`` times, and the maps that they put out."""
    stride, kernel = (2 if halvings else 1), (7 if halvings == 3 else 3)
    first = Chain(in_channels, [(64, kernel)], config, stride=stride)
    pool = make_pool(3) if halvings > 1 else None
    second = Chain(first.out_channels, [(64, 1), (192, 3)], config, pool=pool)
    return nn.Sequential(first, second, *([make_pool(3)] if halvings == 3 else [])), second.out_channels


def make_pool(kernel_size: int) -> nn.MaxPool2d:
    """Max pooling to half the side, rounded up."""
    return nn.MaxPool2d(kernel_size, stride=2, ceil_mode=True)


def make_block(in_channels: int, filters: Filters, config: GoogLeNetConfig) -> Concatenation:
    """Figure 2b: (N, in_channels, H, W) → (N, out_channels, H, W)."""
    one, reduce3, three, reduce5, five, projection = filters
    pool = nn.MaxPool2d(3, stride=1, padding=1)
    return Concatenation(
        Chain(in_channels, [(one, 1)], config),
        Chain(in_channels, [(reduce3, 1), (three, 3)], config),
        Chain(in_channels, [(reduce5, 1), (five, config.wide_kernel)], config),
        Chain(in_channels, [(projection, 1)], config, pool=pool),
    )


class GoogLeNetAuxiliaryHead(nn.Sequential):
    """Section 5: (N, in_channels, H, W) → (N, num_classes)."""

    def __init__(self, in_channels: int, num_classes: int, config: GoogLeNetConfig) -> None:
        maps, units = config.scaled(128), config.scaled(1024)
        super().__init__(
            OrderedDict(
                pool=nn.AdaptiveAvgPool2d(AUXILIARY_GRID),
                conv=ConvNormAct(in_channels, maps, config, kernel_size=1),
                flatten=nn.Flatten(),  # (N, maps · 4 · 4)
                hidden=nn.Linear(maps * AUXILIARY_GRID**2, units),
                act=config.activation_layer(),
                dropout=nn.Dropout(AUXILIARY_DROPOUT),
                linear=nn.Linear(units, num_classes),
            )
        )


# net


class InceptionNet(StagedNet):
    """A stem, stages, a pooling head, and auxiliary heads that only training looks at.

    ``auxiliary`` maps the position of a module of ``stages`` to the head that reads what it puts out.
    """

    def __init__(
        self,
        stem: nn.Module,
        stages: nn.Sequential,
        head: nn.Module,
        auxiliary: Mapping[int, nn.Module],
        init: str,
    ) -> None:
        super().__init__(stem, stages, head)
        self.auxiliary = nn.ModuleDict({str(place): module for place, module in auxiliary.items()})
        initialize(self, init)

    def forward_training(self, images: Tensor) -> list[Tensor]:
        """(N, C, H, W) images → the head's logits, then each auxiliary head's; all (N, num_classes)."""
        maps, auxiliary = self.stem(images), list[Tensor]()
        for place, module in self.stages.named_children():
            maps = module(maps)
            if place in self.auxiliary:
                auxiliary.append(self.auxiliary[place](maps))
        return [self.forward_head(maps), *auxiliary]


class GoogLeNet(InceptionNet):
    """A stem and three stages of Inception blocks."""

    def __init__(self, config: GoogLeNetConfig, image: ImageSpec) -> None:
        halvings = early_halvings(image.image_size, most=3)
        strides = stage_strides(-(-image.image_size // 2**halvings), len(STAGES))
        stem, channels = make_stem(image.in_channels, halvings, config)
        stages = nn.Sequential()
        auxiliary: dict[int, nn.Module] = {}
        for stage, (blocks, stride) in enumerate(zip(stage_blocks(config), strides, strict=True)):
            if stride > 1:
                stages.append(make_pool(POOL_KERNELS[stage]))
            if stage:
                stages.append(config.dropout_layer())
            for index, filters in enumerate(blocks):
                block = make_block(channels, filters, config)
                stages.append(block)
                channels = block.out_channels
                stages.extend(config.squeeze_excitation_layers(channels))
                if config.auxiliary and stage == 1 and index in auxiliary_places(len(blocks)):
                    auxiliary[len(stages) - 1] = GoogLeNetAuxiliaryHead(channels, image.num_classes, config)
        head = PoolHead(channels, image.num_classes, config)
        super().__init__(stem, stages, head, auxiliary, config.init)
