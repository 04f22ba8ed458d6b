"""SqueezeNet: fire modules, which squeeze by 1 × 1 filters and expand by 1 × 1 and 3 × 3 ones side by side.

Iandola et al. (2016), "SqueezeNet: AlexNet-level Accuracy with 50x Fewer Parameters and <0.5MB Model Size",
sections 3, 5.1 (whose metaparameters are the knobs here) and 6 (bypasses); version 1.1, with poolings earlier
and a smaller stem, is from its authors' repository. Deviations: batch norm and no rectified logits by default;
weights are drawn after He et al. (2015); the stem shrinks small images less, and poolings stop when maps would
fall below 4 × 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.families.nin import HEADS
from convscout.search_space.geometry import early_halvings, require_side, stage_strides
from convscout.search_space.knobs import choice, integer, real
from convscout.search_space.layers import ConvKnobs, ConvNormAct, initialize
from convscout.search_space.staged import StagedNet

POOLINGS = {"early": (1 / 4, 1 / 2), "late": (3 / 8, 7 / 8)}  # shares of the modules that come before each

_PAPER = dict(
    norm_placement="none",
    width=128,
    increment=1.0,
    depth=8,
    squeeze=0.125,
    head="class_maps",
    head_dropout=0.5,
)
_1_0 = _PAPER | dict(stem_width=96, stem_kernel=7, pooling="late", bypass="none")
_1_1 = _PAPER | dict(stem_width=64, stem_kernel=3, pooling="early", bypass="none")


@families.register("squeezenet")
@dataclass(frozen=True, kw_only=True)
class SqueezeNetConfig(ConvKnobs, ArchitectureConfig):
    """A SqueezeNet. Fire module i puts out ``width × (1 + increment × (i // 2))`` maps."""

    width: int = integer(
        128, low=32, high=128, log=True, minimum=4, help="maps of the first two fire modules"
    )
    increment: float = real(
        1.0, low=0.5, high=1.5, maximum=4.0, help="maps added after every second module ÷ width"
    )
    depth: int = integer(4, low=4, high=8, maximum=32, help="fire modules")
    squeeze: float = real(
        0.25,
        low=0.125,
        high=0.5,
        minimum=0.05,
        maximum=1.0,
        help="maps that a module squeezes to ÷ it puts out",
    )
    share_3x3: float = real(
        0.5, low=0.25, high=0.75, minimum=0.05, maximum=0.95, help="share of a module's maps by 3 × 3 filters"
    )
    bypass: str = choice(
        "simple",
        ("none", "simple", "complex"),
        help="add a module's input: never, where shapes agree, or always",
    )
    pooling: str = choice("early", tuple(POOLINGS), help="where among the modules the maps are halved")
    stem_width: int = integer(64, low=16, high=64, log=True, help="filters of the first convolution")
    stem_kernel: int = choice(3, (3, 5), legal=(3, 5, 7), help="side of the first filters")
    head: str = choice(
        "linear", ("linear",), legal=tuple(HEADS), help="pool and map to logits, or the other way"
    )

    strength: ClassVar[float] = 0.64
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "squeezenet1_0": _1_0,
        "squeezenet1_0_simple_bypass": _1_0 | dict(bypass="simple"),
        "squeezenet1_0_complex_bypass": _1_0 | dict(bypass="complex"),
        "squeezenet1_1": _1_1,
    }

    def build(self, image: ImageSpec) -> SqueezeNet:
        require_side(self.name, image, 8)
        return SqueezeNet(self, image)


# geometry


def module_widths(config: SqueezeNetConfig) -> list[int]:
    """Maps that each fire module puts out."""
    return [round(config.width * (1 + config.increment * (index // 2))) for index in range(config.depth)]


def pooled_modules(config: SqueezeNetConfig, side: int) -> list[int]:
    """The modules before which maps of ``side`` pixels are halved, as far as they are large enough."""
    places = [round(share * config.depth) for share in POOLINGS[config.pooling]]
    _, *strides = stage_strides(side, 1 + len(places))
    return [place for place, stride in zip(places, strides, strict=True) if stride > 1]


# blocks


def make_stem(in_channels: int, halvings: int, config: SqueezeNetConfig) -> nn.Sequential:
    """A convolution and a pooling, each of which halves if it must: (N, C, H, W) → (N, stem_width, H', W')."""
    stride, kernel = min(2, 1 + halvings), config.stem_kernel
    padding = 0 if stride > 1 else kernel // 2  # as published where it strides
    stem = nn.Sequential(
        ConvNormAct(
            in_channels, config.stem_width, config, kernel_size=kernel, stride=stride, padding=padding
        )
    )
    if halvings > 1:
        stem.append(make_pool())
    return stem


def make_pool() -> nn.MaxPool2d:
    """(N, C, H, W) → (N, C, ⌈(H − 1) / 2⌉, ⌈(W − 1) / 2⌉)."""
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


class Fire(nn.Module):
    """Squeeze, expand, and perhaps add the input: (N, in_channels, H, W) → (N, out_channels, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, config: SqueezeNetConfig) -> None:
        super().__init__()
        squeezed = max(1, round(config.squeeze * out_channels))
        wide = min(out_channels - 1, max(1, round(config.share_3x3 * out_channels)))
        self.squeeze = ConvNormAct(in_channels, squeezed, config, kernel_size=1)
        self.expand1 = ConvNormAct(squeezed, out_channels - wide, config, kernel_size=1)
        self.expand3 = ConvNormAct(squeezed, wide, config)
        self.bypass = make_bypass(in_channels, out_channels, config)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, in_channels, H, W) → (N, out_channels, H, W)."""
        squeezed = self.squeeze(maps)
        expanded = torch.cat([self.expand1(squeezed), self.expand3(squeezed)], dim=1)
        return expanded if self.bypass is None else expanded + self.bypass(maps)


def make_bypass(in_channels: int, out_channels: int, config: SqueezeNetConfig) -> nn.Module | None:
    """What ``config.bypass`` names: the identity where shapes agree, a 1 × 1 convolution, or None."""
    if config.bypass == "none":
        return None
    if in_channels == out_channels:
        return nn.Identity()
    if config.bypass == "simple":
        return None
    return ConvNormAct(in_channels, out_channels, config, kernel_size=1, activated=False)


# net


class SqueezeNet(StagedNet):
    """A stem, fire modules with poolings among them, and a head."""

    def __init__(self, config: SqueezeNetConfig, image: ImageSpec) -> None:
        halvings = early_halvings(image.image_size, most=2)
        pooled = pooled_modules(config, image.image_size >> halvings)
        channels = config.stem_width
        stem = make_stem(image.in_channels, halvings, config)
        fires = nn.Sequential()
        for index, width in enumerate(module_widths(config)):
            if index in pooled:
                fires.append(make_pool())
                fires.append(config.dropout_layer())
            fires.append(Fire(channels, width, config))
            channels = width
        super().__init__(stem, fires, HEADS[config.head](channels, image.num_classes, config))
        initialize(self, config.init)
