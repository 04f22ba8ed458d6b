"""Wide ResNet: fewer residual blocks of more filters, with dropout between their convolutions.

Zagoruyko & Komodakis (2016), "Wide Residual Networks", sections 2 and 3, table 1. WRN-d-k has
(d - 4) / 6 pre-activated blocks in each of three stages, k times as wide as the stem times 1, 2 and 4; the
ImageNet nets are ResNets whose bottlenecks are k times as wide inside. Deviations: as those of ``resnet``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.classifier import Classifier
from convscout.search_space.families.preact_resnet import PreActResNet, PreActResNetConfig
from convscout.search_space.families.resnet import ResNet, variant
from convscout.search_space.geometry import require_side
from convscout.search_space.knobs import choice, integer


def _wrn(depth: int, widen: int) -> dict[str, Any]:
    blocks = (depth - 4) // 6
    return variant(16, "basic", "B", blocks, blocks, blocks, 0) | {"widen": widen}


def _bottleneck(*depths: int) -> dict[str, Any]:
    return variant(64, "bottleneck", "B", *depths) | {"widen": 2, "order": "post"}


@families.register("wide_resnet")
@dataclass(frozen=True, kw_only=True)
class WideResNetConfig(PreActResNetConfig):
    """A Wide ResNet, sampled with three stages; stage i has ``depth<i>`` blocks of ``widen × width × 2 ** (i - 1)``."""

    width: int = integer(16, low=8, high=16, log=True, help="filters of the stem; stages are multiples of it")
    widen: int = integer(2, low=2, high=4, maximum=16, help="factor on the filters of all blocks")
    depth4: int = integer(
        0, low=0, high=0, minimum=0, maximum=64, help="blocks in stage 4; 0 for no such stage"
    )
    block: str = choice(
        "basic", ("basic",), legal=("basic", "bottleneck"), help="two 3 × 3 filters, or 1 × 1, 3 × 3, 1 × 1"
    )
    order: str = choice(
        "pre", ("pre",), legal=("pre", "post"), help="activation before a block's convolutions, or after"
    )

    strength: ClassVar[float] = 0.67
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "wrn_16_4": _wrn(16, 4),
        "wrn_16_8": _wrn(16, 8),
        "wrn_22_8": _wrn(22, 8),
        "wrn_28_10": _wrn(28, 10),
        "wrn_40_4": _wrn(40, 4),
        "wide_resnet50_2": _bottleneck(3, 4, 6, 3),
        "wide_resnet101_2": _bottleneck(3, 4, 23, 3),
    }

    def block_widths(self, width: int) -> tuple[int, int]:
        inner, out_channels = super().block_widths(width)
        widened = self.widen * inner
        return widened, widened if self.block == "basic" else out_channels

    def build(self, image: ImageSpec) -> Classifier:
        require_side(self.name, image, 8)
        return PreActResNet(self, image) if self.order == "pre" else ResNet(self, image)
