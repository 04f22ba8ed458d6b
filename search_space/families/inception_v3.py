"""Inception v3: factorized filters, two 3 × 3 for a 5 × 5 and 1 × n then n × 1 for an n × n.

Szegedy, Vanhoucke, Ioffe, Shlens & Wojna (2016), "Rethinking the Inception Architecture for Computer
Vision", sections 3 to 6, figures 5 to 8 and 10, table 1, with the filters of the model that its authors
released and torchvision has (a branch of the first blocks keeps its 5 × 5). Deviations: asymmetric filters
are no longer than the maps that they see; images below 192 pixels are padded throughout and shrunk less by
the stem; stages stop halving when maps would fall below 4 × 4; the auxiliary head, which averages its maps
to 5 × 5, is there only if asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from torch import nn

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.families.googlenet import Chain, Concatenation, InceptionKnobs, InceptionNet, Step
from convscout.search_space.geometry import early_halvings, require_side, stage_strides
from convscout.search_space.knobs import integer
from convscout.search_space.layers import PoolHead

UNPADDED_FROM = 192  # pixels; smaller images would lose too much at each unpadded filter
LONGEST_FILTER = 7
PROJECTIONS = (32, 64, 64)  # filters after the pooling, in each block of stage 1
FACTORIZED = (128, 160, 160, 192)  # filters within the 7 × 7 branches, in each block of stage 2
AUXILIARY_GRID = 5

_FULL = dict(width=32, depth1=3, depth2=4, depth3=2, head_dropout=0.5)


@families.register("inception_v3")
@dataclass(frozen=True, kw_only=True)
class InceptionV3Config(InceptionKnobs, ArchitectureConfig):
    """An Inception v3 of three stages; stage i has the last ``depth<i>`` of the published blocks."""

    published_width = 32

    width: int = integer(
        8, low=6, high=12, log=True, help="filters of the first convolution; scales all others"
    )
    depth1: int = integer(1, low=1, high=2, maximum=3, help="blocks of figure 5 in stage 1")
    depth2: int = integer(1, low=1, high=3, maximum=4, help="blocks of figure 6 in stage 2")
    depth3: int = integer(1, low=1, high=2, maximum=2, help="blocks of figure 7 in stage 3")

    strength: ClassVar[float] = 0.62
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "inception_v3": _FULL | dict(auxiliary=True),
        "inception_v3_without_auxiliary": _FULL | dict(auxiliary=False),
    }

    def build(self, image: ImageSpec) -> InceptionV3:
        require_side(self.name, image, 8)
        return InceptionV3(self, image)


# geometry


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How the net is laid over the image.

    ``halvings`` are the stem's; ``strides`` those into stages 2 and 3; ``padding`` is that of filters
    and poolings that shrink their maps; ``longest`` is n of the 1 × n and n × 1 filters.
    """

    halvings: int
    strides: tuple[int, int]
    padding: int
    longest: int


def plan_for(image_size: int) -> Plan:
    """The published layout for large images, and one that shrinks less and pads for small ones."""
    halvings = early_halvings(image_size, most=3)
    side = -(-image_size // 2**halvings)
    _, second, third = stage_strides(side, 3)
    longest = min(LONGEST_FILTER, -(-side // second))
    return Plan(
        halvings=halvings,
        strides=(second, third),
        padding=0 if image_size >= UNPADDED_FROM else 1,
        longest=longest - 1 + longest % 2,  # odd
    )


# blocks


def make_stem(in_channels: int, plan: Plan, config: InceptionV3Config) -> tuple[nn.Sequential, int]:
    """Five convolutions, with poolings, that halve as planned, and the maps that they put out."""
    stride = 2 if plan.halvings else 1
    padding = plan.padding if stride > 1 else 1
    first = Chain(in_channels, [(32, 3)], config, stride=stride, padding=padding)
    second = Chain(first.out_channels, [(32, 3)], config, padding=plan.padding)
    third = Chain(second.out_channels, [(64, 3)], config)
    pool = make_pool(2, plan.padding) if plan.halvings > 1 else None
    last = Chain(third.out_channels, [(80, 1), (192, 3)], config, pool=pool, padding=plan.padding)
    stem = nn.Sequential(first, second, third, last)
    if plan.halvings > 2:
        stem.append(make_pool(2, plan.padding))
    return stem, last.out_channels


def make_pool(stride: int, padding: int) -> nn.MaxPool2d:
    """Max pooling of 3 × 3 pixels."""
    return nn.MaxPool2d(3, stride=stride, padding=padding)


def project(in_channels: int, filters: int, config: InceptionV3Config) -> Chain:
    """The branch that averages 3 × 3 pixels and maps them by 1 × 1 filters."""
    return Chain(in_channels, [(filters, 1)], config, pool=nn.AvgPool2d(3, stride=1, padding=1))


def make_square_block(in_channels: int, projection: int, config: InceptionV3Config) -> Concatenation:
    """Figure 5: two 3 × 3 filters in place of the widest. Maps keep their size."""
    return Concatenation(
        Chain(in_channels, [(64, 1)], config),
        Chain(in_channels, [(48, 1), (64, 5)], config),
        Chain(in_channels, [(64, 1), (96, 3), (96, 3)], config),
        project(in_channels, projection, config),
    )


def make_first_reduction(in_channels: int, plan: Plan, config: InceptionV3Config) -> Concatenation:
    """Figure 10: two strided branches and a pooling. Maps are halved where the plan says so."""
    stride, padding = plan.strides[0], plan.padding
    steps: list[Step] = [(64, 1), (96, 3), (96, 3)]
    return Concatenation(
        Chain(in_channels, [(384, 3)], config, stride=stride, padding=padding),
        Chain(in_channels, steps, config, stride=stride, padding=padding),
        Chain(in_channels, [], config, pool=make_pool(stride, padding)),
    )


def make_factorized_block(in_channels: int, filters: int, n: int, config: InceptionV3Config) -> Concatenation:
    """Figure 6: 1 × n and n × 1 filters in turn. Maps keep their size."""
    wide, tall = (1, n), (n, 1)
    once: list[Step] = [(filters, 1), (filters, wide), (192, tall)]
    twice: list[Step] = [(filters, 1), (filters, tall), (filters, wide), (filters, tall), (192, wide)]
    return Concatenation(
        Chain(in_channels, [(192, 1)], config),
        Chain(in_channels, once, config),
        Chain(in_channels, twice, config),
        project(in_channels, 192, config),
    )


def make_second_reduction(in_channels: int, plan: Plan, config: InceptionV3Config) -> Concatenation:
    """As the first, but one branch sees n × n pixels before it strides."""
    stride, padding, n = plan.strides[1], plan.padding, plan.longest
    steps: list[Step] = [(192, 1), (192, (1, n)), (192, (n, 1)), (192, 3)]
    return Concatenation(
        Chain(in_channels, [(192, 1), (320, 3)], config, stride=stride, padding=padding),
        Chain(in_channels, steps, config, stride=stride, padding=padding),
        Chain(in_channels, [], config, pool=make_pool(stride, padding)),
    )


class Fork(Chain):
    """A chain that ends in 1 × 3 and 3 × 1 filters side by side."""

    def __init__(
        self, in_channels: int, steps: Sequence[Step], filters: int, config: InceptionV3Config
    ) -> None:
        super().__init__(in_channels, steps, config)
        trunk = self.out_channels
        ends = Concatenation(*(Chain(trunk, [(filters, kernel)], config) for kernel in ((1, 3), (3, 1))))
        self.append(ends)
        self.out_channels = ends.out_channels


def make_expanded_block(in_channels: int, config: InceptionV3Config) -> Concatenation:
    """Figure 7: branches that fork, for the many maps before the head. Maps keep their size."""
    return Concatenation(
        Chain(in_channels, [(320, 1)], config),
        Fork(in_channels, [(384, 1)], 384, config),
        Fork(in_channels, [(448, 1), (384, 3)], 384, config),
        project(in_channels, 192, config),
    )


class InceptionV3AuxiliaryHead(nn.Sequential):
    """Figure 8: (N, in_channels, H, W) → (N, num_classes)."""

    def __init__(self, in_channels: int, num_classes: int, config: InceptionV3Config) -> None:
        maps = Chain(in_channels, [(128, 1)], config)  # (N, out_channels, 5, 5)
        whole = Chain(
            maps.out_channels, [(768, AUXILIARY_GRID)], config, padding=0
        )  # (N, out_channels, 1, 1)
        super().__init__(
            OrderedDict(
                pool=nn.AdaptiveAvgPool2d(AUXILIARY_GRID),
                maps=maps,
                whole=whole,
                flatten=nn.Flatten(),  # (N, out_channels)
                linear=nn.Linear(whole.out_channels, num_classes),
            )
        )


# net


class InceptionV3(InceptionNet):
    """A stem and three stages of Inception blocks, with grid reductions between them."""

    def __init__(self, config: InceptionV3Config, image: ImageSpec) -> None:
        plan = plan_for(image.image_size)
        stem, channels = make_stem(image.in_channels, plan, config)
        stages = nn.Sequential()
        auxiliary: dict[int, nn.Module] = {}
        for index, makers in enumerate(stage_makers(plan, config)):
            if index:
                stages.append(config.dropout_layer())
            for make in makers:
                block = make(channels)
                stages.append(block)
                channels = block.out_channels
                stages.extend(config.squeeze_excitation_layers(channels))
            if config.auxiliary and index == 1:
                auxiliary[len(stages) - 1] = InceptionV3AuxiliaryHead(channels, image.num_classes, config)
        head = PoolHead(channels, image.num_classes, config)
        super().__init__(stem, stages, head, auxiliary, config.init)


def stage_makers(plan: Plan, config: InceptionV3Config) -> list[list[Callable[[int], Concatenation]]]:
    """For each stage, what makes its blocks from the number of maps they get."""
    squares = [
        partial(make_square_block, projection=filters, config=config)
        for filters in PROJECTIONS[-config.depth1 :]
    ]
    factorized = [
        partial(make_factorized_block, filters=filters, n=plan.longest, config=config)
        for filters in FACTORIZED[-config.depth2 :]
    ]
    return [
        [*squares],
        [partial(make_first_reduction, plan=plan, config=config), *factorized],
        [
            partial(make_second_reduction, plan=plan, config=config),
            *[partial(make_expanded_block, config=config)] * config.depth3,
        ],
    ]
