"""LeNet: convolution and pooling in turn, then fully connected layers.

LeCun, Bottou, Bengio & Haffner (1998), "Gradient-Based Learning Applied to Document Recognition",
section II.B. Deviations: every filter of C3 sees all maps of S2; sub-sampling has no weights; the output
is a linear layer instead of radial basis functions. The defaults are a wider, batch-normalised LeNet
with ReLU and max pooling; images above 48 pixels are shrunk by a stride of the first convolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from torch import Tensor, nn

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.classifier import Classifier
from convscout.search_space.errors import UnbuildableError
from convscout.search_space.geometry import require_side, stem_reduction
from convscout.search_space.knobs import choice, integer, real
from convscout.search_space.layers import POOLINGS, ConvKnobs, ConvNormAct, initialize, pool_layer

F6_SHARE = 84 / 120  # units of layer F6 for each unit of layer C5
GRID = 5  # side of the largest map that C5 sees


@families.register("lenet")
@dataclass(frozen=True, kw_only=True)
class LeNetConfig(ConvKnobs, ArchitectureConfig):
    """A LeNet. Stage i has ``width × growth ** i`` filters."""

    norm_placement: str = choice(
        "before", ("before", "after", "none"), help="batch norm by the activation, if any"
    )
    width: int = integer(32, low=8, high=64, log=True, help="filters of the first convolution")
    depth: int = integer(3, low=2, high=4, maximum=6, help="stages of one convolution and one pooling")
    growth: float = real(
        2.0, low=1.0, high=2.5, minimum=0.5, maximum=4.0, help="filters of a stage ÷ the last"
    )
    kernel_size: int = choice(5, (3, 5), legal=(3, 5, 7), help="side of a filter in pixels")
    padding: str = choice(
        "same", ("same",), legal=("same", "valid"), help="whether filters reach over the edge"
    )
    pool: str = choice("max", ("max", "avg"), legal=POOLINGS, help="how a stage halves its maps")
    hidden: int = integer(128, low=32, high=256, log=True, help="units of the first fully connected layer")

    strength: ClassVar[float] = 0.65
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "lenet5": dict(
            activation="tanh", norm_placement="none", width=6, depth=2, growth=16 / 6, kernel_size=5,
            padding="valid", pool="avg", hidden=120,
        ),
    }  # fmt: skip

    def build(self, image: ImageSpec) -> LeNet:
        require_side(self.name, image, 8)
        return LeNet(self, image)


# geometry


@dataclass(frozen=True, kw_only=True)
class StageGeometry:
    """The spatial settings of one stage, and the ``side`` of the map it puts out."""

    stride: int
    padding: int
    pool: int
    side: int


def plan_stages(config: LeNetConfig, image: ImageSpec) -> list[StageGeometry]:
    """One plan a stage. Raises ``UnbuildableError`` where a map would vanish."""
    kernel, side, plans = config.kernel_size, image.image_size, list[StageGeometry]()
    for number in range(1, config.depth + 1):
        stride = stem_reduction(side) if number == 1 else 1
        padding = 0 if config.padding == "valid" and stride == 1 else kernel // 2
        side = (side + 2 * padding - kernel) // stride + 1
        if side < 1:
            raise UnbuildableError(
                f"lenet has no pixels left for stage {number} of {config.depth} with images of "
                f"{image.image_size} × {image.image_size}; use padding = 'same', fewer stages or larger images"
            )
        pool = min(2, side)
        side //= pool
        plans.append(StageGeometry(stride=stride, padding=padding, pool=pool, side=side))
    return plans


def stage_filters(config: LeNetConfig) -> list[int]:
    """Filters of each stage."""
    return [max(1, round(config.width * config.growth**stage)) for stage in range(config.depth)]


# blocks


def make_stage(
    config: LeNetConfig, plan: StageGeometry, in_channels: int, out_channels: int
) -> nn.Sequential:
    """Convolution, pooling and dropout: (N, in_channels, H, W) → (N, out_channels, side, side)."""
    conv = ConvNormAct(
        in_channels,
        out_channels,
        config,
        kernel_size=config.kernel_size,
        stride=plan.stride,
        padding=plan.padding,
    )
    return nn.Sequential(conv, pool_layer(config.pool, out_channels, plan.pool), config.dropout_layer())


# net


class LeNet(Classifier):
    """Stages of convolution and pooling, then layers C5 and F6 and the output."""

    def __init__(self, config: LeNetConfig, image: ImageSpec) -> None:
        super().__init__()
        plans, filters = plan_stages(config, image), stage_filters(config)
        ends = pairwise([image.in_channels, *filters])
        self.stages = nn.Sequential(
            *(make_stage(config, plan, *channels) for plan, channels in zip(plans, ends, strict=True))
        )
        grid = min(GRID, plans[-1].side)
        f6 = round(config.hidden * F6_SHARE)
        self.grid = nn.AdaptiveAvgPool2d(grid) if grid < plans[-1].side else nn.Identity()
        self.c5 = nn.Sequential(nn.Linear(filters[-1] * grid**2, config.hidden), config.activation_layer())
        self.f6 = nn.Sequential(nn.Linear(config.hidden, f6), config.activation_layer())
        self.dropout = nn.Dropout(config.head_dropout)
        self.output = nn.Linear(f6, image.num_classes)
        initialize(self, config.init)

    def forward_features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images → (N, C', H', W')."""
        features: Tensor = self.grid(self.stages(images))
        return features

    def forward_head(self, features: Tensor) -> Tensor:
        """(N, C', H', W') → (N, num_classes) logits."""
        units = self.f6(self.c5(features.flatten(1)))  # (N, C' · H' · W') → (N, F)
        logits: Tensor = self.output(self.dropout(units))
        return logits
