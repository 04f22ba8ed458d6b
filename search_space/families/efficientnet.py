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

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.families.mobilenet_v2 import MobileKnobs, MobileNet, StageRow, scaled_width
from convscout.search_space.geometry import require_side
from convscout.search_space.knobs import choice, real

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
        drop_path=0.2,
    )  # fmt: skip


@families.register("efficientnet")
@dataclass(frozen=True, kw_only=True)
class EfficientNetConfig(MobileKnobs, ArchitectureConfig):
    """An EfficientNet of seven stages."""

    squeeze_excitation: bool = choice(True, (False, True), help="squeeze-and-excitation in each block")
    drop_path: float = real(
        0.0, low=0.0, high=0.2, maximum=0.9, help="probability of skipping the last block; rises to it from 0"
    )

    strength: ClassVar[float] = 0.51
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

    def build(self, image: ImageSpec) -> MobileNet:
        require_side(self.name, image, 8)
        head_width = HEAD_EXPANSION * scaled_width(STAGES[-1].width, self)
        return MobileNet(self, image, STAGES, head_width=head_width, drop_path=self.drop_path)
