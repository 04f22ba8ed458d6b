"""Layers: the convolution–norm–activation block that all families are made of, and the knobs it has."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from search_space.configurable import Configurable
from search_space.knobs import choice, real

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),
    "leaky_relu": partial(nn.LeakyReLU, 0.1, inplace=True),
    "elu": partial(nn.ELU, inplace=True),
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
DROPOUTS: dict[str, Callable[[float], nn.Module]] = {
    "element": nn.Dropout,
    "spatial": nn.Dropout2d,  # whole feature maps (Tompson et al., 2015, section 3.2)
}
NORM_PLACEMENTS = ("before", "after", "none")


@dataclass(frozen=True, kw_only=True)
class ConvKnobs(Configurable):
    """The knobs of every convolutional family; a family inherits them and adds its own."""

    activation: str = choice(
        "relu", ("relu", "leaky_relu", "elu", "gelu", "silu"), legal=tuple(ACTIVATIONS), help="non-linearity"
    )
    norm_placement: str = choice(
        "before", ("before", "after"), legal=NORM_PLACEMENTS, help="batch norm before or after the activation"
    )
    dropout_kind: str = choice(
        "none", ("none", "element", "spatial"), help="what dropout between convolutions drops, if anything"
    )
    dropout: float = real(
        0.1, low=0.05, high=0.3, maximum=0.9, when={"dropout_kind": ("element", "spatial")},
        help="probability of dropping between convolutions",
    )  # fmt: skip
    head_dropout: float = real(0.0, low=0.0, high=0.5, maximum=0.9, help="probability of dropping a feature")

    def activation_layer(self) -> nn.Module:
        """A fresh non-linearity."""
        return ACTIVATIONS[self.activation]()

    def dropout_layer(self) -> nn.Module:
        """Dropout for feature maps, or nothing."""
        return nn.Identity() if self.dropout_kind == "none" else DROPOUTS[self.dropout_kind](self.dropout)


class Subsample(nn.Module):
    """Every ``stride``-th pixel: (N, C, H, W) → (N, C, ceil(H / stride), ceil(W / stride)).

    Before a 1 × 1 convolution it equals a stride in it, which torch 2.15's CPU kernels must not be given:
    the gradient of a strided 1 × 1 convolution, channels-last in float32, corrupts the heap on two threads
    (8 → 16 maps of 32 × 32, three images: "double free or corruption").
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, maps: Tensor) -> Tensor:
        return maps[:, :, :: self.stride, :: self.stride]


class ConvNormAct(nn.Sequential):
    """Convolution, batch norm and activation, in the order that ``knobs.norm_placement`` asks for.

    Maps (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)) for an odd
    ``kernel_size``. Without an activation (``activated=False``) the norm follows the convolution
    wherever it is placed. A convolution right before a norm has no bias, as the norm would undo it.
    ``padding`` None keeps the size.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        knobs: ConvKnobs,
        *,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        activated: bool = True,
        biased: bool = False,
    ) -> None:
        normed = knobs.norm_placement != "none"
        norm_next = normed and (knobs.norm_placement == "before" or not activated)
        padding = kernel_size // 2 if padding is None else padding
        skipping = kernel_size == 1 and stride > 1
        conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            1 if skipping else stride,
            padding,
            groups=groups,
            bias=biased or not norm_next,
        )
        layers: list[tuple[str, nn.Module]] = [("conv", conv)]
        if activated:
            layers.append(("act", knobs.activation_layer()))
        if normed:
            layers.insert(1 if norm_next else len(layers), ("norm", nn.BatchNorm2d(out_channels)))
        if skipping:
            layers.insert(0, ("skip", Subsample(stride)))
        super().__init__(OrderedDict(layers))


class PoolHead(nn.Sequential):
    """Global average pooling, dropout and one linear layer: (N, C, H, W) → (N, num_classes).

    Lin et al. (2014), "Network in Network", section 3.2.
    """

    def __init__(self, in_channels: int, num_classes: int, knobs: ConvKnobs) -> None:
        super().__init__(
            OrderedDict(
                pool=nn.AdaptiveAvgPool2d(1),  # (N, C, 1, 1)
                flatten=nn.Flatten(),  # (N, C)
                dropout=nn.Dropout(knobs.head_dropout),
                linear=nn.Linear(in_channels, num_classes),
            )
        )


def he_normal(conv: nn.Conv2d) -> None:
    """He et al. (2015), "Delving Deep into Rectifiers", section 2.2, in its fan-out form."""
    fan_out = conv.out_channels * math.prod(conv.kernel_size) // conv.groups
    nn.init.normal_(conv.weight, std=math.sqrt(2 / fan_out))


def initialize(model: nn.Module, filters: Callable[[nn.Conv2d], None] = he_normal) -> None:
    """Draw all weights anew: filters by ``filters``, matrices so as to keep variance, biases zero."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            filters(module)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=1 / math.sqrt(module.in_features))
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
