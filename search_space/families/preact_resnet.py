"""PreAct-ResNet: residual blocks that normalise and activate before they convolve.

He, Zhang, Ren & Sun (2016b), "Identity Mappings in Deep Residual Networks", section 4 and appendix.
Nothing happens to a sum any more, so that every block is x + f(x) to the letter. Deviations: as those of
``resnet``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.classifier import Classifier
from convscout.search_space.families.resnet import AddedConv, ResidualBlock, ResNet, ResNetConfig, variant
from convscout.search_space.geometry import require_side
from convscout.search_space.layers import NormAct, PreActKnobs, bare_conv


@families.register("preact_resnet")
@dataclass(frozen=True, kw_only=True)
class PreActResNetConfig(PreActKnobs, ResNetConfig):
    """A PreAct-ResNet of three or four stages; stage i has ``depth<i>`` blocks of ``width × 2 ** (i - 1)`` filters."""

    strength: ClassVar[float] = 0.65
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "preact_resnet18": variant(64, "basic", "B", 2, 2, 2, 2),
        "preact_resnet110": variant(16, "basic", "A", 18, 18, 18, 0),
        "preact_resnet164": variant(16, "bottleneck", "B", 18, 18, 18, 0),
        "preact_resnet200": variant(64, "bottleneck", "B", 3, 24, 36, 3),
    }

    def build(self, image: ImageSpec) -> Classifier:
        require_side(self.name, image, 8)
        return PreActResNet(self, image)


# blocks


class PreActBlock(ResidualBlock):
    """branch(preact(x)) + x; a shortcut that changes shapes starts from preact(x) as well.

    Maps (N, in_channels, H, W) to (N, out_channels, H', W').
    """

    def __init__(self, in_channels: int, width: int, stride: int, config: ResNetConfig) -> None:
        super().__init__(in_channels, width, stride, config)
        self.preact: nn.Module = NormAct(in_channels, config)

    @staticmethod
    def added_conv(config: ResNetConfig) -> AddedConv:
        return bare_conv

    def forward(self, maps: Tensor) -> Tensor:
        """(N, in_channels, H, W) → (N, out_channels, H', W')."""
        active = self.preact(maps)
        kept = maps if isinstance(self.shortcut, nn.Identity) else self.shortcut(active)
        total: Tensor = self.branch(active) + kept
        return total


# net


class PreActResNet(ResNet):
    """A stem, stages of pre-activated blocks, a last activation and a pooling head."""

    block_type = PreActBlock

    def __init__(self, config: PreActResNetConfig, image: ImageSpec) -> None:
        super().__init__(config, image)
        first, *_, last = (module for module in self.modules() if isinstance(module, PreActBlock))
        first.preact = nn.Identity()  # the stem has activated its maps already (appendix)
        self.stages.append(NormAct(last.out_channels, config))
