"""AlexNet: a large-stride stem, overlapping max pooling, five convolutions and two hidden layers.

Krizhevsky, Sutskever & Hinton (2012), "ImageNet Classification with Deep Convolutional Neural Networks",
section 3 and figure 2 (two groups of filters, local response normalization); Krizhevsky (2014), "One Weird
Trick for Parallelizing Convolutional Neural Networks", the section on experiments (one tower, other widths).
Deviations: the 2014 net has 256 filters in its fourth convolution, as torchvision's, where the paper says 384;
batch norm by default; weights are drawn after He et al. (2015); the stem's filters and stride follow the size
of the image; stages stop pooling when maps would fall below 2 × 2.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.geometry import require_side, stem_reduction
from convscout.search_space.knobs import choice, integer
from convscout.search_space.layers import POOLS, ConvKnobs, ConvNormAct, initialize
from convscout.search_space.staged import StagedNet

GRID = 6  # side of the largest map that the hidden layers see
SMALLEST_MAP = 2
STEMS = {1: (5, 2), 2: (7, 3), 4: (11, 2)}  # side and padding of the first filters, by their stride
KERNELS = (5, 3, 3, 3)  # sides of the other filters
POOLED = (True, True, False, False, True)  # convolutions that a pooling follows
GROUPED = (False, True, False, True, True)  # convolutions that groups split
RESPONSES_NORMALISED = (True, True, False, False, False)
FILTERS = {"2012": (96, 256, 384, 384, 256), "2014": (64, 192, 384, 256, 256)}

_PAPER = dict(norm_placement="none", hidden=4096, head_dropout=0.5)


@families.register("alexnet")
@dataclass(frozen=True, kw_only=True)
class AlexNetConfig(ConvKnobs, ArchitectureConfig):
    """An AlexNet of five convolutions, the first of which has ``width`` filters."""

    width: int = integer(24, low=8, high=48, log=True, help="filters of the first convolution")
    proportions: str = choice("2014", tuple(FILTERS), help="the paper whose ratios of filters are kept")
    pool: str = choice("max", ("max", "avg"), help="how 3 × 3 pixels are pooled")
    hidden: int = integer(256, low=64, high=512, log=True, help="units of each hidden layer")
    groups: int = choice(1, (1,), legal=(1, 2), help="groups of filters in convolutions 2, 4 and 5")
    response_norm: bool = choice(
        False, (False,), legal=(False, True), help="divide by the responses of neighbouring maps"
    )

    strength: ClassVar[float] = 0.66
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "alexnet": _PAPER | dict(width=64),
        "alexnet_2012": _PAPER | dict(width=96, proportions="2012", groups=2, response_norm=True),
    }

    def build(self, image: ImageSpec) -> AlexNet:
        require_side(self.name, image, 8)
        return AlexNet(self, image)


# geometry


@dataclass(frozen=True, kw_only=True)
class ConvPlan:
    """The shape of one convolution, and whether a pooling follows."""

    filters: int
    kernel_size: int
    stride: int
    padding: int
    pooled: bool


def plan_convs(config: AlexNetConfig, image_size: int) -> tuple[list[ConvPlan], int]:
    """One plan a convolution, and the side of the maps that the last one leaves."""
    stride = stem_reduction(image_size)
    kernels = [STEMS[stride], *((kernel, kernel // 2) for kernel in KERNELS)]
    side, plans = image_size, list[ConvPlan]()
    for filters, (kernel, padding), pooled in zip(conv_filters(config), kernels, POOLED, strict=True):
        side = (side + 2 * padding - kernel) // stride + 1
        pooled = pooled and pooled_side(side) >= SMALLEST_MAP
        side = pooled_side(side) if pooled else side
        plans.append(
            ConvPlan(filters=filters, kernel_size=kernel, stride=stride, padding=padding, pooled=pooled)
        )
        stride = 1
    return plans, side


def conv_filters(config: AlexNetConfig) -> list[int]:
    """Filters of each convolution, the same number in every group."""
    first, *_ = filters = FILTERS[config.proportions]
    unit = first * config.groups
    return [config.groups * max(1, round(config.width * count / unit)) for count in filters]


def pooled_side(side: int) -> int:
    """The side of a map after pooling 3 × 3 pixels at a stride of 2 (2012, section 3.4)."""
    return (side - 3) // 2 + 1


# blocks


def make_stage(in_channels: int, plan: ConvPlan, config: AlexNetConfig, *, index: int) -> nn.Sequential:
    """Convolution ``index`` and what follows it: (N, in_channels, H, W) → (N, filters, H', W')."""
    conv = ConvNormAct(
        in_channels,
        plan.filters,
        config,
        kernel_size=plan.kernel_size,
        stride=plan.stride,
        padding=plan.padding,
        groups=config.groups if GROUPED[index] else 1,
    )
    stage = nn.Sequential(conv)
    if config.response_norm and RESPONSES_NORMALISED[index]:
        stage.append(
            nn.LocalResponseNorm(5, alpha=5e-4, k=2.0)
        )  # torch divides alpha by 5, the paper did not
    if plan.pooled:
        stage.append(POOLS[config.pool](3, stride=2))
        stage.append(config.dropout_layer())
    return stage


class AlexNetHead(nn.Sequential):
    """Two hidden layers and one of logits: (N, C, H, W) → (N, num_classes)."""

    def __init__(self, in_channels: int, grid: int, num_classes: int, config: AlexNetConfig) -> None:
        hidden = config.hidden
        super().__init__(
            OrderedDict(
                pool=nn.AdaptiveAvgPool2d(grid),
                flatten=nn.Flatten(),  # (N, C · grid · grid)
                dropout1=nn.Dropout(config.head_dropout),
                hidden1=nn.Linear(in_channels * grid**2, hidden),
                act1=config.activation_layer(),
                dropout2=nn.Dropout(config.head_dropout),
                hidden2=nn.Linear(hidden, hidden),
                act2=config.activation_layer(),
                linear=nn.Linear(hidden, num_classes),
            )
        )


# net


class AlexNet(StagedNet):
    """Convolutions and a head with two hidden layers."""

    def __init__(self, config: AlexNetConfig, image: ImageSpec) -> None:
        plans, side = plan_convs(config, image.image_size)
        stages = nn.Sequential()
        channels = image.in_channels
        for index, plan in enumerate(plans):
            stages.append(make_stage(channels, plan, config, index=index))
            channels = plan.filters
        head = AlexNetHead(channels, min(GRID, side), image.num_classes, config)
        super().__init__(nn.Identity(), stages, head)
        initialize(self, config.init)
