"""Layers: the convolution–norm–activation block that all families are made of, and the knobs it has."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from convscout.search_space.configurable import Configurable
from convscout.search_space.initialization import INITS
from convscout.search_space.initialization import initialize as initialize
from convscout.search_space.knobs import choice, real

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),
    "relu6": partial(nn.ReLU6, inplace=True),
    "leaky_relu": partial(nn.LeakyReLU, 0.1, inplace=True),
    "prelu": nn.PReLU,
    "elu": partial(nn.ELU, inplace=True),
    "selu": partial(nn.SELU, inplace=True),
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "hard_swish": nn.Hardswish,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}


class StochasticDepth(nn.Module):
    """Drops the branch of a whole image with that ``probability``: (N, C, H, W) → (N, C, H, W).

    Huang et al. (2016), "Deep networks with stochastic depth", section 3, as torchvision has it. The import of that
    brings torch's compiler, which takes seconds, and every study would wait for it.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, branch: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        if not self.training or not self.probability:
            return branch
        kept = branch.new_empty((len(branch), 1, 1, 1)).bernoulli_(1 - self.probability)
        return branch * kept.div_(1 - self.probability)


class DropBlock(nn.Module):
    """Drops squares of up to 3 × 3 pixels of a map: (N, C, H, W) → (N, C, H, W).

    Ghiasi et al. (2018), "DropBlock: A regularization method for convolutional networks", section 3. The
    paper's blocks are of 7 pixels, for the maps of large images.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        from torchvision.ops import drop_block2d  # its import brings torch's compiler, which takes seconds

        self.probability = probability
        self._drop = drop_block2d

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        side = 3 if min(maps.shape[2:]) >= 3 else 1
        dropped: Tensor = self._drop(maps, self.probability, side, training=self.training)
        return dropped


DROPOUTS: dict[str, Callable[[float], nn.Module]] = {
    "element": nn.Dropout,
    "spatial": nn.Dropout2d,  # whole feature maps (Tompson et al., 2015, section 3.2)
    "block": DropBlock,
}
POOLS: dict[str, type[nn.MaxPool2d] | type[nn.AvgPool2d]] = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}
POOLINGS = (*POOLS, "strided", "fractional")
NORM_PLACEMENTS = ("before", "after", "none")
GROUP_CHANNELS = 8  # channels of a group of GroupNorm, or somewhat more


def group_norm(channels: int) -> nn.GroupNorm:
    """Wu & He (2018), "Group Normalization", section 3, in groups of about ``GROUP_CHANNELS``."""
    return nn.GroupNorm(math.gcd(channels, max(1, channels // GROUP_CHANNELS)), channels)


NORMS = ("batch", "group")
NORM_WEIGHTS = ("learned", "fixed")


@dataclass(frozen=True, kw_only=True)
class ConvKnobs(Configurable):
    """The knobs of every convolutional family; a family inherits them and adds its own."""

    activation: str = choice(
        "relu", ("relu", "leaky_relu", "elu", "gelu", "silu"), legal=tuple(ACTIVATIONS), help="non-linearity"
    )
    norm_placement: str = choice(
        "before", ("before", "after"), legal=NORM_PLACEMENTS, help="batch norm before or after the activation"
    )
    norm: str = choice(
        "batch", ("batch",), legal=NORMS, when={"norm_placement": ("before", "after")},
        help="what is normalised together",
    )  # fmt: skip
    norm_weights: str = choice(
        "learned", ("learned",), legal=NORM_WEIGHTS, when={"norm_placement": ("before", "after")},
        help="whether norms learn how strong each map is; its bias is always learned",
    )  # fmt: skip
    norm_momentum: float = real(
        0.1, low=0.1, high=0.1, minimum=1e-3, maximum=1.0, when={"norm": ("batch",)},
        help="how far a batch moves the statistics that batch norms answer by",
    )  # fmt: skip
    init: str = choice("he", ("he",), legal=tuple(INITS), help="how filters start")
    dropout_kind: str = choice(
        "none", ("none", "element", "spatial"), legal=("none", *DROPOUTS),
        help="what dropout between convolutions drops, if anything",
    )  # fmt: skip
    dropout: float = real(
        0.1, low=0.05, high=0.3, maximum=0.9, when={"dropout_kind": tuple(DROPOUTS)},
        help="probability of dropping between convolutions",
    )  # fmt: skip
    head_dropout: float = real(0.0, low=0.0, high=0.5, maximum=0.9, help="probability of dropping a feature")

    def activation_layer(self) -> nn.Module:
        """A fresh non-linearity."""
        return ACTIVATIONS[self.activation]()

    def norm_layer(self, channels: int) -> nn.Module:
        """A fresh norm of ``channels`` maps."""
        if self.norm == "group":
            norm: nn.GroupNorm | nn.BatchNorm2d = group_norm(channels)
        else:
            norm = nn.BatchNorm2d(channels, momentum=self.norm_momentum)
        norm.weight.requires_grad_(self.norm_weights == "learned")
        return norm

    def dropout_layer(self) -> nn.Module:
        """Dropout for feature maps, or nothing."""
        return nn.Identity() if self.dropout_kind == "none" else DROPOUTS[self.dropout_kind](self.dropout)


@dataclass(frozen=True, kw_only=True)
class PreActKnobs(ConvKnobs):
    """The knobs of families that normalise and activate the input of a convolution, not its output."""

    norm_placement: str = choice("before", ("before",), help="batch norm before the activation")


@dataclass(frozen=True, kw_only=True)
class SqueezeExcitationKnobs(ConvKnobs):
    """The knobs of families whose blocks may have squeeze-and-excitation."""

    squeeze_excitation: bool = choice(False, (False, True), help="squeeze-and-excitation in each block")
    se_reduction: int = choice(
        4, (4, 8, 16), legal=(1, 2, 4, 8, 16, 32), when={"squeeze_excitation": (True,)},
        help="maps ÷ units that they are squeezed to",
    )  # fmt: skip

    def squeeze_excitation_layers(self, channels: int, *, reduced: int | None = None) -> list[nn.Module]:
        """The layer that weights ``channels`` maps, with ``reduced`` (all) ÷ ``se_reduction`` units; or none."""
        if not self.squeeze_excitation:
            return []
        squeezed = max(1, (reduced or channels) // self.se_reduction)
        return [SqueezeExcitation(channels, squeezed, self)]


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
        kernel_size: int | tuple[int, int] = 3,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        activated: bool = True,
        biased: bool = False,
    ) -> None:
        normed = knobs.norm_placement != "none"
        norm_next = normed and (knobs.norm_placement == "before" or not activated)
        height, width = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        skipping = (height, width) == (1, 1) and stride > 1
        conv = nn.Conv2d(
            in_channels,
            out_channels,
            (height, width),
            1 if skipping else stride,
            (height // 2, width // 2) if padding is None else padding,
            groups=groups,
            bias=biased or not norm_next,
        )
        layers: list[tuple[str, nn.Module]] = [("conv", conv)]
        if activated:
            layers.append(("act", knobs.activation_layer()))
        if normed:
            layers.insert(1 if norm_next else len(layers), ("norm", knobs.norm_layer(out_channels)))
        if skipping:
            layers.insert(0, ("skip", Subsample(stride)))
        super().__init__(OrderedDict(layers))


class SqueezeExcitation(nn.Module):
    """Weights each map, in (0, 1), by what all of them show on average: (N, C, H, W) → (N, C, H, W).

    Hu, Shen & Sun (2018), "Squeeze-and-Excitation Networks", section 3, equations 2 to 4; ``squeezed`` is
    C / r there. Its layers have biases, as in the authors' models.
    """

    def __init__(self, channels: int, squeezed: int, knobs: ConvKnobs) -> None:
        super().__init__()
        self.excitation = nn.Sequential(
            OrderedDict(
                squeeze=nn.Linear(channels, squeezed),
                act=knobs.activation_layer(),
                expand=nn.Linear(squeezed, channels),
                gate=nn.Sigmoid(),
            )
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        weights: Tensor = self.excitation(maps.mean((2, 3)))  # (N, C)
        return maps * weights[:, :, None, None]


class NormAct(nn.Sequential):
    """Batch norm and activation before a convolution (He et al., 2016b, "Identity Mappings", figure 4e)."""

    def __init__(self, channels: int, knobs: ConvKnobs) -> None:
        super().__init__(OrderedDict(norm=knobs.norm_layer(channels), act=knobs.activation_layer()))


def bare_conv(in_channels: int, out_channels: int, *, kernel_size: int, stride: int = 1) -> nn.Conv2d:
    """A convolution of pre-activation networks: no norm or bias of its own, and the size kept."""
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False)


class PoolHead(nn.Sequential):
    """Global average pooling, dropout and one linear layer: (N, C, H, W) → (N, num_classes).

    The pooling is that of Lin et al. (2014), "Network in Network", section 3.2, which has no layer after it.
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


class FractionalMaxPool(nn.Module):
    """Max pooling over overlapping cells at random places: (N, C, H, W) → (N, C, H // window, W // window).

    Graham (2014), "Fractional Max-Pooling", section 2. Deviations: maps shrink by ``window``, where the
    paper has them shrink by less than 2; cells are evenly spaced outside training, so that one image always
    gets one answer.
    """

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H // window, W // window)."""
        height, width = maps.shape[2] // self.window, maps.shape[3] // self.window
        if self.training and min(maps.shape[2:]) > self.window:
            return F.fractional_max_pool2d(maps, self.window + 1, output_size=(height, width))
        return F.max_pool2d(maps, self.window + 1, self.window, padding=1)[:, :, :height, :width]


def pool_layer(kind: str, channels: int, window: int = 2) -> nn.Module:
    """What shrinks maps by ``window``: (N, channels, H, W) → (N, channels, H // window, W // window)."""
    if window == 1:
        return nn.Identity()
    if kind == "strided":  # Springenberg et al. (2015), "Striving for Simplicity", section 2
        return nn.Conv2d(channels, channels, window, window)
    return FractionalMaxPool(window) if kind == "fractional" else POOLS[kind](window)


def first_conv(model: nn.Module) -> nn.Conv2d:
    """The convolution that sees the images."""
    return next(module for module in model.modules() if isinstance(module, nn.Conv2d))
