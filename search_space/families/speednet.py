"""SpeedNet: patch whitening, then a few wide stages that pool before they normalise.

After the CIFAR-10 speed-run nets: Jordan (2024), "94% on CIFAR-10 in 3.29 Seconds on a Single GPU",
sections 3.1 to 3.3 and the code that goes with it (the order of layers, whitening, identity-like filters, scaled
logits), and Page (2018–2019), "How to Train Your ResNet", parts 4 and 8 (ResNet-9, max pooling before the head,
whitening).

Deviations: whitening looks at patches that do not overlap; the bias of the whitened maps learns throughout; ResNet-9
adds before its activations and pools before its norms, as its successors do; images above 48 pixels are shrunk by a
stride of the first convolution; stages stop pooling when their maps would fall below 2 × 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.families.vgg import stage_pools
from convscout.search_space.geometry import require_side, stem_reduction
from convscout.search_space.initialization import INITS, silence
from convscout.search_space.knobs import Scalar, choice, integer, real
from convscout.search_space.layers import (
    ACTIVATIONS,
    NORM_WEIGHTS,
    ConvKnobs,
    ConvNormAct,
    first_conv,
    initialize,
)
from convscout.search_space.staged import StagedNet

WHITENING_EPS = 5e-4  # added to variances, so that directions without contrast are not blown up to noise
RESNET9 = dict(
    init="he", stem="conv", stem_width=64,
    width1=128, width2=256, width3=512, depth1=2, depth2=0, depth3=2,
    residual=True, activation="relu", logit_scale=0.125, norm_weights="learned", norm_momentum=0.1,
)  # fmt: skip


def _airbench(width: int, wide: int, depth: int) -> dict[str, Any]:
    return dict(
        init="dirac", stem="whiten", patch=2,
        width1=width, width2=wide, width3=wide, depth1=depth, depth2=depth, depth3=depth,
        residual=depth > 1, activation="gelu", logit_scale=1 / 9, norm_weights="fixed", norm_momentum=0.4,
    )  # fmt: skip


@families.register("speednet")
@dataclass(frozen=True, kw_only=True)
class SpeedNetConfig(ConvKnobs, ArchitectureConfig):
    """A SpeedNet of three stages; stage i pools into ``width<i>`` maps and refines them ``depth<i>`` times."""

    activation: str = choice(
        "gelu", ("relu", "leaky_relu", "elu", "gelu", "silu"), legal=tuple(ACTIVATIONS), help="non-linearity"
    )
    norm_weights: str = choice(
        "fixed", NORM_WEIGHTS, help="whether norms learn how strong each map is; its bias is always learned"
    )
    norm_momentum: float = real(
        0.4, low=0.1, high=0.6, minimum=1e-3, maximum=1.0, when={"norm": ("batch",)},
        help="how far a batch moves the statistics that batch norms answer by",
    )  # fmt: skip
    init: str = choice("dirac", ("dirac", "he"), legal=tuple(INITS), help="how filters start")
    stem: str = choice(
        "whiten", ("whiten", "conv"), help="first filters: fixed, from the images' patches; or learned"
    )
    patch: int = choice(
        2, (2, 3), legal=(2, 3, 4, 5), when={"stem": ("whiten",)}, help="side of a whitened patch in pixels"
    )
    stem_width: int = integer(
        64, low=16, high=64, log=True, when={"stem": ("conv",)}, help="first filters that are learned"
    )
    width1: int = integer(64, low=16, high=64, log=True, help="filters of stage 1")
    width2: int = integer(192, low=32, high=256, log=True, help="filters of stage 2")
    width3: int = integer(192, low=64, high=256, log=True, help="filters of stage 3")
    depth1: int = integer(1, low=0, high=2, minimum=0, maximum=8, help="convolutions after pooling, stage 1")
    depth2: int = integer(2, low=0, high=2, minimum=0, maximum=8, help="convolutions after pooling, stage 2")
    depth3: int = integer(2, low=0, high=2, minimum=0, maximum=8, help="convolutions after pooling, stage 3")
    residual: bool = choice(True, (False, True), help="whether they are added to what they refine")
    logit_scale: float = real(
        1 / 9, low=0.05, high=1.0, log=True, minimum=1e-3, maximum=10.0, help="factor on the logits"
    )

    proven_recipe: ClassVar[Mapping[str, Scalar]] = {
        "recipe.optimizer": "normalized_muon",
        "recipe.augmentation": "crop_alternating",
        "recipe.batch_size": 1024,
        "recipe.schedule": "linear",
        "recipe.warmup": 0.0,
        "recipe.label_smoothing": 0.2,
    }
    strength: ClassVar[float] = 0.763
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "airbench94": _airbench(64, 256, 1),
        "airbench95": _airbench(128, 384, 1),
        "airbench96": _airbench(128, 512, 2),
        "resnet9": RESNET9,
    }

    def build(self, image: ImageSpec) -> SpeedNet:
        require_side(self.name, image, 8)
        return SpeedNet(self, image)


# geometry


def stem_side(conv: nn.Conv2d, image: ImageSpec) -> int:
    """Side of the maps that the first convolution puts out."""
    reach = conv.kernel_size[0] - 2 * int(conv.padding[0])
    return (image.image_size - reach) // conv.stride[0] + 1


# blocks


class WhiteningConv(nn.Conv2d):
    """Fixed filters that decorrelate the patches of the images, each with its negative; only the bias learns.

    Maps (N, in_channels, H, W) to (N, 2 · in_channels · kernel_size², H', W').
    """

    def __init__(self, in_channels: int, kernel_size: int, stride: int) -> None:
        super().__init__(in_channels, 2 * in_channels * kernel_size**2, kernel_size, stride)
        filters = self.weight.detach()
        del self.weight
        self.register_buffer("weight", filters)  # saved, but neither trained nor decayed

    @torch.no_grad()
    def whiten(self, images: Tensor) -> None:
        """Set the filters from the principal components of the patches of ``images``, (N, C, H, W)."""
        side = self.kernel_size[0]
        patches = F.unfold(images, side, stride=side).transpose(1, 2).flatten(0, 1)  # (patches, C · side²)
        covariance = patches.double().T @ patches.double() / len(patches)
        variances, components = torch.linalg.eigh(covariance)  # components are columns
        whitening = (components / (variances + WHITENING_EPS).sqrt()).T.reshape(-1, *self.weight.shape[1:])
        self.weight.copy_(torch.cat([whitening, -whitening]))


def pooled_conv(in_channels: int, out_channels: int, pool: int, config: SpeedNetConfig) -> nn.Sequential:
    """Convolution, then max pooling, so that norm and activation work on smaller maps.

    Maps (N, in_channels, H, W) to (N, out_channels, H // pool, W // pool).
    """
    layers = dict(ConvNormAct(in_channels, out_channels, config).named_children())
    conv = layers.pop("conv")
    return nn.Sequential(conv, nn.MaxPool2d(pool) if pool > 1 else nn.Identity(), *layers.values())


class Refinement(nn.Module):
    """``depth`` convolutions, added to their input where ``config.residual``: (N, C, H, W) → (N, C, H, W)."""

    def __init__(self, channels: int, depth: int, config: SpeedNetConfig) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *(ConvNormAct(channels, channels, config) for _ in range(depth - 1)),
            config.dropout_layer(),
            ConvNormAct(channels, channels, config, activated=False),
        )
        self.residual = config.residual
        self.act = config.activation_layer()

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        refined = self.branch(maps)
        total: Tensor = self.act(maps + refined if self.residual else refined)
        return total

    def silence(self) -> None:
        """Let the block start as the identity, where it has a way past its convolutions."""
        if self.residual:
            silence(self.branch)


class ConstantScale(nn.Module):
    """A constant factor on anything."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, values: Tensor) -> Tensor:
        """The values, scaled."""
        return self.factor * values


class ScaledHead(nn.Sequential):
    """Global max pooling, dropout and a linear layer whose outputs are scaled: (N, C, H, W) → (N, num_classes)."""

    def __init__(self, in_channels: int, num_classes: int, config: SpeedNetConfig) -> None:
        super().__init__(
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),  # (N, C)
            nn.Dropout(config.head_dropout),
            nn.Linear(in_channels, num_classes, bias=False),
            ConstantScale(config.logit_scale),
        )


def make_stem(image: ImageSpec, config: SpeedNetConfig) -> nn.Sequential:
    """The first convolution and its activation: (N, C, H, W) → (N, C', H', W')."""
    stride = stem_reduction(image.image_size)
    if config.stem == "conv":
        return ConvNormAct(image.in_channels, config.stem_width, config, stride=stride)
    conv = WhiteningConv(image.in_channels, max(config.patch, stride), stride)
    return nn.Sequential(conv, config.activation_layer())


# net


class SpeedNet(StagedNet):
    """A whitening stem, three stages and a head."""

    def __init__(self, config: SpeedNetConfig, image: ImageSpec) -> None:
        stem = make_stem(image, config)
        conv = first_conv(stem)
        widths = (conv.out_channels, config.width1, config.width2, config.width3)
        depths = (config.depth1, config.depth2, config.depth3)
        pools = stage_pools(stem_side(conv, image), len(depths))
        stages = nn.Sequential()
        for (before, width), depth, pool in zip(pairwise(widths), depths, pools, strict=True):
            stage = nn.Sequential(pooled_conv(before, width, pool, config))
            if depth:
                stage.append(Refinement(width, depth, config))
            stages.append(stage)
        super().__init__(stem, stages, ScaledHead(widths[-1], image.num_classes, config))
        initialize(self, config.init)

    def initialize_from(self, images: Tensor) -> None:
        """Whiten with the patches of ``images``, (N, C, H, W)."""
        conv = first_conv(self.stem)
        if isinstance(conv, WhiteningConv):
            conv.whiten(images)
