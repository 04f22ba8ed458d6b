"""ResNeXt: a ResNet whose bottlenecks convolve many narrow groups of maps side by side.

Xie, Girshick, Dollár, Tu & He (2017), "Aggregated Residual Transformations for Deep Neural Networks",
sections 3 and 5.3, table 1, in the form of figure 3c. Deviations: as those of ``resnet``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from convscout.search_space.architecture import families
from convscout.search_space.families.resnet import ResNetConfig, stem_stride_knob, variant
from convscout.search_space.knobs import choice, integer


def _variant(cardinality: int, group_width: int, *depths: int) -> dict[str, Any]:
    groups = {"cardinality": cardinality, "group_width": group_width}
    return variant(64, "bottleneck", "B", *depths) | groups


@families.register("resnext")
@dataclass(frozen=True, kw_only=True)
class ResNeXtConfig(ResNetConfig):
    """A ResNeXt of three or four stages; blocks of stage i end in ``4 × width × 2 ** (i - 1)`` filters.

    Inside they have ``cardinality`` groups of ``group_width × 2 ** (i - 1)`` filters.
    """

    depth4: int = integer(
        0, low=0, high=1, minimum=0, maximum=64, help="blocks in stage 4; 0 for no such stage"
    )
    block: str = choice("bottleneck", ("bottleneck",), help="1 × 1, 3 × 3 in groups, 1 × 1")
    stem_stride: int = stem_stride_knob(2)
    cardinality: int = choice(4, (2, 4, 8), legal=(1, 2, 4, 8, 16, 32, 64), help="groups in a block")
    group_width: int = integer(
        16, low=4, high=16, log=True, help="filters of a group in stage 1; doubled each stage"
    )

    strength: ClassVar[float] = 0.61
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "resnext50_32x4d": _variant(32, 4, 3, 4, 6, 3),
        "resnext101_32x8d": _variant(32, 8, 3, 4, 23, 3),
        "resnext101_64x4d": _variant(64, 4, 3, 4, 23, 3),
        "resnext29_8x64d": _variant(8, 64, 3, 3, 3, 0),
        "resnext29_16x64d": _variant(16, 64, 3, 3, 3, 0),
    }

    @property
    def groups(self) -> int:
        return self.cardinality

    def block_widths(self, width: int) -> tuple[int, int]:
        _, out_channels = super().block_widths(width)
        return self.cardinality * self.group_width * (width // self.width), out_channels
