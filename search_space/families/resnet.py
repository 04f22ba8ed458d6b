"""ResNet: stages of residual blocks, x + f(x).

He, Zhang, Ren & Sun (2016), "Deep Residual Learning for Image Recognition", sections 3 and 4.2, tables 1
and 6. Deviations: a bottleneck strides in its 3 × 3 convolution ("v1.5", as torchvision does); the
stem's size and stride follow the size of the image; stages stop halving when maps would fall below 4 × 4;
branches of a net without norms start at zero. Branches with norms do not (Goyal et al., 2017, section 5.1),
as in trainings of a few epochs that costs several points of accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from search_space.architecture import ArchitectureConfig, Classifier, ImageSpec, families
from search_space.geometry import require_side, stage_strides, stage_widths, stem_reduction
from search_space.knobs import choice, integer
from search_space.layers import ConvKnobs, ConvNormAct, PoolHead, initialize


def _variant(width: int, block: str, shortcut: str, *depths: int) -> dict[str, Any]:
    stages = {f"depth{stage}": depth for stage, depth in enumerate(depths, start=1)}
    return {"width": width, "block": block, "shortcut": shortcut, **stages}


@families.register("resnet")
@dataclass(frozen=True, kw_only=True)
class ResNetConfig(ConvKnobs, ArchitectureConfig):
    """A ResNet of three or four stages; stage i has ``depth<i>`` blocks of ``width × 2 ** (i - 1)`` filters."""

    width: int = integer(16, low=8, high=32, log=True, help="filters of the first stage; doubled each stage")
    depth1: int = integer(1, low=1, high=3, maximum=64, help="blocks in stage 1")
    depth2: int = integer(1, low=1, high=3, maximum=64, help="blocks in stage 2")
    depth3: int = integer(1, low=1, high=3, maximum=64, help="blocks in stage 3")
    depth4: int = integer(
        1, low=0, high=1, minimum=0, maximum=64, help="blocks in stage 4; 0 for no such stage"
    )
    block: str = choice("basic", ("basic", "bottleneck"), help="two 3 × 3 filters, or 1 × 1, 3 × 3, 1 × 1")
    shortcut: str = choice("B", ("A", "B"), help="where shapes change: A pads with zeros, B projects")
    stem: str = choice(
        "plain", ("plain",), legal=("plain", "deep"), help="one convolution, or three of 3 × 3"
    )

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "resnet18": _variant(64, "basic", "B", 2, 2, 2, 2),
        "resnet34": _variant(64, "basic", "B", 3, 4, 6, 3),
        "resnet50": _variant(64, "bottleneck", "B", 3, 4, 6, 3),
        "resnet101": _variant(64, "bottleneck", "B", 3, 4, 23, 3),
        "resnet152": _variant(64, "bottleneck", "B", 3, 8, 36, 3),
        "resnet20": _variant(16, "basic", "A", 3, 3, 3, 0),
        "resnet32": _variant(16, "basic", "A", 5, 5, 5, 0),
        "resnet44": _variant(16, "basic", "A", 7, 7, 7, 0),
        "resnet56": _variant(16, "basic", "A", 9, 9, 9, 0),
        "resnet110": _variant(16, "basic", "A", 18, 18, 18, 0),
    }

    def build(self, image: ImageSpec) -> ResNet:
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
    three 3 × 3 convolutions (He et al., 2019, "Bag of Tricks", section 4.2, ResNet-C).
    """

    def __init__(self, in_channels: int, width: int, reduction: int, config: ResNetConfig) -> None:
        stride = min(2, reduction)
        layers: list[nn.Module]
        if config.stem == "deep":
            half = max(1, width // 2)
            layers = [
                ConvNormAct(in_channels, half, config, stride=stride),
                ConvNormAct(half, half, config),
                ConvNormAct(half, width, config),
            ]
        else:
            layers = [
                ConvNormAct(in_channels, width, config, kernel_size=7 if stride > 1 else 3, stride=stride)
            ]
        if reduction == 4:
            layers.append(nn.MaxPool2d(3, stride=2, padding=1))
        super().__init__(*layers)


class PaddedShortcut(nn.Module):
    """Option A: drop pixels and fill the new maps with zeros: (N, in, H, W) → (N, out, H', W')."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.missing = out_channels - in_channels

    def forward(self, maps: Tensor) -> Tensor:
        """(N, in, H, W) → (N, out, ceil(H / stride), ceil(W / stride))."""
        return F.pad(maps[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.missing))


def make_shortcut(in_channels: int, out_channels: int, stride: int, config: ResNetConfig) -> nn.Module:
    """The identity where shapes agree, else what ``config.shortcut`` names."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if config.shortcut == "A":
        return PaddedShortcut(in_channels, out_channels, stride)
    return ConvNormAct(in_channels, out_channels, config, kernel_size=1, stride=stride, activated=False)


def basic_branch(in_channels: int, width: int, stride: int, config: ResNetConfig) -> nn.Sequential:
    """Two 3 × 3 convolutions: (N, in_channels, H, W) → (N, width, H', W')."""
    return nn.Sequential(
        ConvNormAct(in_channels, width, config, stride=stride),
        config.dropout_layer(),  # between the convolutions, as in Zagoruyko & Komodakis (2016), section 2.4
        ConvNormAct(width, width, config, activated=False),
    )


def bottleneck_branch(in_channels: int, width: int, stride: int, config: ResNetConfig) -> nn.Sequential:
    """1 × 1, 3 × 3 and 1 × 1 convolutions: (N, in_channels, H, W) → (N, 4 · width, H', W')."""
    return nn.Sequential(
        ConvNormAct(in_channels, width, config, kernel_size=1),
        ConvNormAct(width, width, config, stride=stride),
        config.dropout_layer(),
        ConvNormAct(width, 4 * width, config, kernel_size=1, activated=False),
    )


BRANCHES: dict[str, Callable[[int, int, int, ResNetConfig], nn.Sequential]] = {
    "basic": basic_branch,
    "bottleneck": bottleneck_branch,
}
EXPANSIONS = {"basic": 1, "bottleneck": 4}


class Block(nn.Module):
    """act(branch(x) + shortcut(x)): (N, in_channels, H, W) → (N, expansion · width, H', W')."""

    def __init__(self, in_channels: int, width: int, stride: int, config: ResNetConfig) -> None:
        super().__init__()
        self.branch = BRANCHES[config.block](in_channels, width, stride, config)
        self.shortcut = make_shortcut(in_channels, width * EXPANSIONS[config.block], stride, config)
        self.act = config.activation_layer()

    def forward(self, maps: Tensor) -> Tensor:
        """(N, in_channels, H, W) → (N, expansion · width, H', W')."""
        total: Tensor = self.act(self.branch(maps) + self.shortcut(maps))
        return total

    def silence(self) -> None:
        """Let the branch start as zero, by its last filters (Zhang et al., 2019, "Fixup", section 3)."""
        *_, last = (module for module in self.branch.modules() if isinstance(module, nn.Conv2d))
        nn.init.zeros_(last.weight)


# net


class ResNet(Classifier):
    """A stem, stages of blocks and a pooling head."""

    def __init__(self, config: ResNetConfig, image: ImageSpec) -> None:
        super().__init__()
        reduction = stem_reduction(image.image_size)
        depths = stage_depths(config)
        strides = stage_strides(-(-image.image_size // reduction), len(depths))
        channels = config.width
        self.stem = Stem(image.in_channels, channels, reduction, config)
        self.stages = nn.Sequential()
        for width, depth, stride in zip(stage_widths(channels, len(depths)), depths, strides, strict=True):
            stage = nn.Sequential()
            for index in range(depth):
                stage.append(Block(channels, width, 1 if index else stride, config))
                channels = width * EXPANSIONS[config.block]
            self.stages.append(stage)
        self.head = PoolHead(channels, image.num_classes, config)
        initialize(self)
        if config.norm_placement == "none":  # nothing else would keep the sums from growing block by block
            for module in self.modules():
                if isinstance(module, Block):
                    module.silence()

    def forward_features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images → (N, C', H', W')."""
        features: Tensor = self.stages(self.stem(images))
        return features

    def forward_head(self, features: Tensor) -> Tensor:
        """(N, C', H', W') → (N, num_classes) logits."""
        logits: Tensor = self.head(features)
        return logits
