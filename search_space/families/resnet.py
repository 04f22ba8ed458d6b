"""ResNet: stages of residual blocks, x + f(x).

He, Zhang, Ren & Sun (2016), "Deep Residual Learning for Image Recognition", sections 3 and 4.2, tables 1
and 6; shortcuts A, B and C from section 4.1 there, D and the deep stem from He et al. (2019), "Bag of Tricks
for Image Classification with Convolutional Neural Networks", section 4.2; squeeze-and-excitation of what is
added from Hu, Shen & Sun (2018), "Squeeze-and-Excitation Networks", sections 3 and 4, figure 3.

Deviations: a bottleneck strides in its 3 × 3 convolution ("v1.5", as torchvision does); the
stem's size and stride follow the size of the image; stages stop halving when maps would fall below 4 × 4;
branches of a net without norms start at zero. Branches with norms do not (Goyal et al., 2017, section 5.1),
as in trainings of a few epochs that costs several points of accuracy.

``preact_resnet``, ``wide_resnet`` and ``resnext`` are this net with other blocks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.classifier import Classifier
from convscout.search_space.geometry import require_side, stage_strides, stage_widths, stem_reduction
from convscout.search_space.initialization import silence
from convscout.search_space.knobs import choice, integer
from convscout.search_space.layers import (
    ConvKnobs,
    ConvNormAct,
    PoolHead,
    SqueezeExcitationKnobs,
    Subsample,
    initialize,
)
from convscout.search_space.staged import StagedNet

_SE = {"squeeze_excitation": True, "se_reduction": 16}


def variant(width: int, block: str, shortcut: str, *depths: int) -> dict[str, Any]:
    """The fields of a published configuration with ``depths`` blocks in its stages."""
    stages = {f"depth{stage}": depth for stage, depth in enumerate(depths, start=1)}
    return {"width": width, "block": block, "shortcut": shortcut, "stem_stride": 1, **stages}


def stem_stride_knob(default: int) -> Any:
    """Declare the field that has small images shrunk by the stem as well."""
    return choice(
        default, (1, 2), legal=(1, 2, 4), help="stride of the stem at least; large images have a larger one"
    )


@families.register("resnet")
@dataclass(frozen=True, kw_only=True)
class ResNetConfig(SqueezeExcitationKnobs, ArchitectureConfig):
    """A ResNet of three or four stages; stage i has ``depth<i>`` blocks of ``width × 2 ** (i - 1)`` filters."""

    width: int = integer(16, low=8, high=32, log=True, help="filters of the first stage; doubled each stage")
    depth1: int = integer(1, low=1, high=3, maximum=64, help="blocks in stage 1")
    depth2: int = integer(1, low=1, high=3, maximum=64, help="blocks in stage 2")
    depth3: int = integer(1, low=1, high=3, maximum=64, help="blocks in stage 3")
    depth4: int = integer(
        1, low=0, high=1, minimum=0, maximum=64, help="blocks in stage 4; 0 for no such stage"
    )
    block: str = choice("basic", ("basic", "bottleneck"), help="two 3 × 3 filters, or 1 × 1, 3 × 3, 1 × 1")
    shortcut: str = choice(
        "D", ("A", "B", "C", "D"),
        help="where shapes change: A pads with zeros, B projects, D averages and projects; C projects everywhere",
    )  # fmt: skip
    stem: str = choice(
        "plain", ("plain",), legal=("plain", "deep"), help="one convolution, or three of 3 × 3"
    )
    stem_stride: int = stem_stride_knob(1)

    strength: ClassVar[float] = 0.66
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "resnet18": variant(64, "basic", "B", 2, 2, 2, 2),
        "resnet34": variant(64, "basic", "B", 3, 4, 6, 3),
        "resnet50": variant(64, "bottleneck", "B", 3, 4, 6, 3),
        "resnet101": variant(64, "bottleneck", "B", 3, 4, 23, 3),
        "resnet152": variant(64, "bottleneck", "B", 3, 8, 36, 3),
        "resnet18d": variant(64, "basic", "D", 2, 2, 2, 2) | {"stem": "deep"},
        "resnet50d": variant(64, "bottleneck", "D", 3, 4, 6, 3) | {"stem": "deep"},
        "se_resnet18": variant(64, "basic", "B", 2, 2, 2, 2) | _SE,
        "se_resnet50": variant(64, "bottleneck", "B", 3, 4, 6, 3) | _SE,
        "resnet20": variant(16, "basic", "A", 3, 3, 3, 0),
        "resnet32": variant(16, "basic", "A", 5, 5, 5, 0),
        "resnet44": variant(16, "basic", "A", 7, 7, 7, 0),
        "resnet56": variant(16, "basic", "A", 9, 9, 9, 0),
        "resnet110": variant(16, "basic", "A", 18, 18, 18, 0),
    }

    @property
    def groups(self) -> int:
        """Into how many groups the 3 × 3 convolution of a bottleneck is split."""
        return 1

    def block_widths(self, width: int) -> tuple[int, int]:
        """Filters inside a block and at its end, in a stage of ``width``."""
        return width, width * EXPANSIONS[self.block]

    def build(self, image: ImageSpec) -> Classifier:
        require_side(self.name, image, 8)
        return ResNet(self, image)


# geometry


def stage_depths(config: ResNetConfig) -> tuple[int, ...]:
    """Blocks of each stage there is."""
    depths = (config.depth1, config.depth2, config.depth3, config.depth4)
    return tuple(depth for depth in depths if depth)


# blocks


class Stem(nn.Sequential):
    """The image to ``width`` maps, shrunk by ``reduction``: (N, C, H, W) → (N, width, H', W').

    A plain stem is 7 × 7 with a stride of 2 where it shrinks and 3 × 3 where it does not; a deep one is
    three 3 × 3 convolutions (He et al., 2019, section 4.2, ResNet-C).
    """

    def __init__(
        self, in_channels: int, width: int, reduction: int, knobs: ConvKnobs, *, deep: bool = False
    ) -> None:
        stride = min(2, reduction)
        layers: list[nn.Module]
        if deep:
            half = max(1, width // 2)
            layers = [
                ConvNormAct(in_channels, half, knobs, stride=stride),
                ConvNormAct(half, half, knobs),
                ConvNormAct(half, width, knobs),
            ]
        else:
            layers = [
                ConvNormAct(in_channels, width, knobs, kernel_size=7 if stride > 1 else 3, stride=stride)
            ]
        if reduction == 4:
            layers.append(nn.MaxPool2d(3, stride=2, padding=1))
        super().__init__(*layers)


class AddedConv(Protocol):
    """Makes a convolution whose maps are added to others: the last of a branch, or that of a shortcut."""

    def __call__(
        self, in_channels: int, out_channels: int, *, kernel_size: int, stride: int = 1
    ) -> nn.Module: ...


class PaddedShortcut(nn.Module):
    """Option A: drop pixels and fill the new maps with zeros: (N, in, H, W) → (N, out, H', W')."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.subsample = Subsample(stride)
        self.missing = out_channels - in_channels

    def forward(self, maps: Tensor) -> Tensor:
        """(N, in, H, W) → (N, out, ceil(H / stride), ceil(W / stride))."""
        return F.pad(self.subsample(maps), (0, 0, 0, 0, 0, self.missing))


def make_shortcut(
    in_channels: int, out_channels: int, stride: int, kind: str, added_conv: AddedConv
) -> nn.Module:
    """The identity where shapes agree, else what ``kind`` names: (N, in, H, W) → (N, out, H', W')."""
    if stride == 1 and in_channels == out_channels and kind != "C":
        return nn.Identity()
    if kind == "A":
        return PaddedShortcut(in_channels, out_channels, stride)
    projection = added_conv(in_channels, out_channels, kernel_size=1)
    if stride == 1:
        return projection
    if kind == "D":
        pool = nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False)  # rounds up, as filters do
        return nn.Sequential(pool, projection)
    return nn.Sequential(Subsample(stride), projection)


def basic_branch(
    in_channels: int, out_channels: int, stride: int, config: ResNetConfig, added_conv: AddedConv
) -> nn.Sequential:
    """Two 3 × 3 convolutions: (N, in_channels, H, W) → (N, out_channels, H', W')."""
    return nn.Sequential(
        ConvNormAct(in_channels, out_channels, config, stride=stride),
        config.dropout_layer(),  # between the convolutions, as in Zagoruyko & Komodakis (2016), section 2.4
        added_conv(out_channels, out_channels, kernel_size=3),
    )


def bottleneck_branch(
    in_channels: int, inner: int, out_channels: int, stride: int, config: ResNetConfig, added_conv: AddedConv
) -> nn.Sequential:
    """1 × 1, 3 × 3 and 1 × 1 convolutions: (N, in_channels, H, W) → (N, out_channels, H', W')."""
    return nn.Sequential(
        ConvNormAct(in_channels, inner, config, kernel_size=1),
        ConvNormAct(inner, inner, config, stride=stride, groups=config.groups),
        config.dropout_layer(),
        added_conv(inner, out_channels, kernel_size=1),
    )


EXPANSIONS = {"basic": 1, "bottleneck": 4}


class ResidualBlock(nn.Module, ABC):
    """A branch and a shortcut that end in one shape; heirs say how they are joined.

    Maps (N, in_channels, H, W) to (N, out_channels, H', W').
    """

    def __init__(self, in_channels: int, width: int, stride: int, config: ResNetConfig) -> None:
        super().__init__()
        added_conv = self.added_conv(config)
        inner, self.out_channels = config.block_widths(width)
        if config.block == "basic":
            self.branch = basic_branch(in_channels, self.out_channels, stride, config, added_conv)
        else:
            self.branch = bottleneck_branch(in_channels, inner, self.out_channels, stride, config, added_conv)
        self.branch.extend(config.squeeze_excitation_layers(self.out_channels))
        self.shortcut = make_shortcut(in_channels, self.out_channels, stride, config.shortcut, added_conv)

    @staticmethod
    @abstractmethod
    def added_conv(config: ResNetConfig) -> AddedConv:
        """What the branch ends with, and what the shortcut projects with."""

    def silence(self) -> None:
        """Let the branch start as zero."""
        silence(self.branch)


class Block(ResidualBlock):
    """act(branch(x) + shortcut(x)): (N, in_channels, H, W) → (N, out_channels, H', W')."""

    def __init__(self, in_channels: int, width: int, stride: int, config: ResNetConfig) -> None:
        super().__init__(in_channels, width, stride, config)
        self.act = config.activation_layer()

    @staticmethod
    def added_conv(config: ResNetConfig) -> AddedConv:
        return partial(ConvNormAct, knobs=config, activated=False)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, in_channels, H, W) → (N, out_channels, H', W')."""
        total: Tensor = self.act(self.branch(maps) + self.shortcut(maps))
        return total


# net


class ResNet(StagedNet):
    """A stem, stages of blocks and a pooling head."""

    block_type: ClassVar[type[ResidualBlock]] = Block

    def __init__(self, config: ResNetConfig, image: ImageSpec) -> None:
        reduction = max(config.stem_stride, stem_reduction(image.image_size))
        depths = stage_depths(config)
        strides = stage_strides(-(-image.image_size // reduction), len(depths))
        channels = config.width
        stem = Stem(image.in_channels, channels, reduction, config, deep=config.stem == "deep")
        stages = nn.Sequential()
        for width, depth, stride in zip(stage_widths(channels, len(depths)), depths, strides, strict=True):
            stage = nn.Sequential()
            for index in range(depth):
                block = self.block_type(channels, width, 1 if index else stride, config)
                stage.append(block)
                channels = block.out_channels
            stages.append(stage)
        super().__init__(stem, stages, PoolHead(channels, image.num_classes, config))
        initialize(self, config.init)
        if config.norm_placement == "none":  # nothing else would keep the sums from growing block by block
            for module in self.modules():
                if isinstance(module, ResidualBlock):
                    module.silence()
