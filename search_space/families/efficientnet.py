"""EfficientNet: inverted residual blocks with squeeze-and-excitation, scaled in width, depth and image at once.

Tan & Le (2019), "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", section 4, table
1; widths, depths and dropout of B1 to B7 as in the authors' code. The third dimension of the scaling, the
size of the images, belongs to the data here: B7 is meant for 600 pixels. Deviations: batch norm has the
usual momentum; small images are not halved five times but for as long as maps stay 4 × 4; by default the net is
a shallow one of half the width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from search_space.architecture import ArchitectureConfig, Classifier, ImageSpec, families
from search_space.families.mobilenet_v2 import (
    STEM_WIDTH,
    BlockPlan,
    InvertedResidual,
    MobileKnobs,
    StageRow,
    plan_blocks,
    scaled_width,
)
from search_space.geometry import fitted_strides, require_side
from search_space.knobs import choice, real
from search_space.layers import ConvNormAct, PoolHead, initialize

HEAD_EXPANSION = 4  # maps before the head ÷ maps of the last stage
STAGES = (
    StageRow(1, 16, 1, 1, 3),
    StageRow(6, 24, 2, 2, 3),
    StageRow(6, 40, 2, 2, 5),
    StageRow(6, 80, 3, 2, 3),
    StageRow(6, 112, 3, 1, 5),
    StageRow(6, 192, 4, 2, 5),
    StageRow(6, 320, 1, 1, 3),
)


def _variant(width: float, depth: float, head_dropout: float) -> dict[str, Any]:
    return dict(
        width_multiplier=width, depth_multiplier=depth, head_dropout=head_dropout, activation="silu",
        squeeze=True, drop_path=0.2,
    )  # fmt: skip


@families.register("efficientnet")
@dataclass(frozen=True, kw_only=True)
class EfficientNetConfig(MobileKnobs, ArchitectureConfig):
    """An EfficientNet of seven stages."""

    squeeze: bool = choice(True, (False, True), help="squeeze-and-excitation in each block")
    drop_path: float = real(
        0.0, low=0.0, high=0.2, maximum=0.9, help="probability of skipping the last block; rises to it from 0"
    )

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "efficientnet_b0": _variant(1.0, 1.0, 0.2),
        "efficientnet_b1": _variant(1.0, 1.1, 0.2),
        "efficientnet_b2": _variant(1.1, 1.2, 0.3),
        "efficientnet_b3": _variant(1.2, 1.4, 0.3),
        "efficientnet_b4": _variant(1.4, 1.8, 0.4),
        "efficientnet_b5": _variant(1.6, 2.2, 0.4),
        "efficientnet_b6": _variant(1.8, 2.6, 0.5),
        "efficientnet_b7": _variant(2.0, 3.1, 0.5),
    }

    def build(self, image: ImageSpec) -> EfficientNet:
        require_side(self.name, image, 8)
        return EfficientNet(self, image)


# net


class EfficientNet(Classifier):
    """A stem, seven stages, a last 1 × 1 convolution and a pooling head."""

    def __init__(self, config: EfficientNetConfig, image: ImageSpec) -> None:
        super().__init__()
        stem_width = scaled_width(STEM_WIDTH, config)
        stem_stride, *strides = fitted_strides(
            image.image_size, (2, *(row.stride for row in STAGES)), config.halving
        )
        plans = plan_blocks(config, STAGES, stem_width, strides)
        out_channels = plans[-1][-1].out_channels
        self.stem = ConvNormAct(image.in_channels, stem_width, config, stride=stem_stride)
        self.stages = make_stages(plans, config)
        self.last = ConvNormAct(out_channels, HEAD_EXPANSION * out_channels, config, kernel_size=1)
        self.head = PoolHead(HEAD_EXPANSION * out_channels, image.num_classes, config)
        initialize(self, config.init)

    def forward_features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images → (N, C', H', W')."""
        features: Tensor = self.last(self.stages(self.stem(images)))
        return features

    def forward_head(self, features: Tensor) -> Tensor:
        """(N, C', H', W') → (N, num_classes) logits."""
        logits: Tensor = self.head(features)
        return logits


def make_stages(plans: list[list[BlockPlan]], config: EfficientNetConfig) -> nn.Sequential:
    """The blocks of all stages, skipped the more often the deeper they are."""
    num_blocks = sum(len(stage) for stage in plans)
    stages, index = nn.Sequential(), 0
    for stage in plans:
        blocks = nn.Sequential()
        for plan in stage:
            rate = config.drop_path * index / num_blocks
            blocks.append(InvertedResidual(plan, config, squeeze=config.squeeze, drop_path=rate))
            index += 1
        stages.append(blocks)
    return stages
