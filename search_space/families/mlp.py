"""MLP: fully connected layers over all pixels, the baseline that shows why one convolves.

LeCun, Bottou, Bengio & Haffner (1998), "Gradient-Based Learning Applied to Document Recognition",
section III.C, on fully connected networks with one and with two hidden layers. Nothing in it knows which pixels
are neighbours, and each unit of the first layer has a weight for every pixel. Deviations: batch norm and ReLU by
default; larger images are averaged down, as weights grow with pixels.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from torch import Tensor, nn

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.classifier import Classifier
from convscout.search_space.geometry import require_side
from convscout.search_space.knobs import choice, integer, real
from convscout.search_space.layers import ACTIVATIONS, NORM_PLACEMENTS, initialize

_PAPER = dict(activation="tanh", norm_placement="none", head_dropout=0.0)


@families.register("mlp")
@dataclass(frozen=True, kw_only=True)
class MLPConfig(ArchitectureConfig):
    """An MLP. Hidden layer i has ``width × taper ** i`` units."""

    width: int = integer(256, low=64, high=512, log=True, help="units of the first hidden layer")
    depth: int = integer(
        2, low=1, high=4, minimum=0, maximum=16, help="hidden layers; 0 is softmax regression"
    )
    taper: float = real(
        1.0, low=0.25, high=1.0, minimum=0.05, maximum=2.0, help="units of a layer ÷ the last"
    )
    input_side: int = choice(
        32, (16, 32), legal=(8, 16, 32, 64, 128, 224), help="side that larger images are averaged down to"
    )
    activation: str = choice(
        "relu", ("relu", "leaky_relu", "elu", "gelu", "silu"), legal=tuple(ACTIVATIONS), help="non-linearity"
    )
    norm_placement: str = choice(
        "before", NORM_PLACEMENTS, help="batch norm before or after the activation, if any"
    )
    input_dropout: float = real(0.0, low=0.0, high=0.3, maximum=0.9, help="probability of dropping a pixel")
    head_dropout: float = real(0.2, low=0.0, high=0.5, maximum=0.9, help="probability of dropping a unit")

    strength: ClassVar[float] = 0.45
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "lenet_300_100": _PAPER | dict(width=300, depth=2, taper=100 / 300),
        "lenet_500_150": _PAPER | dict(width=500, depth=2, taper=150 / 500),
        "softmax_regression": _PAPER | dict(depth=0),
    }

    def build(self, image: ImageSpec) -> MLP:
        require_side(self.name, image, 8)
        return MLP(self, image)


# geometry


def averaging(image_size: int, input_side: int) -> int:
    """How many pixels a side are averaged into one, so that at most ``input_side`` are left."""
    return -(-image_size // input_side)


def hidden_units(config: MLPConfig) -> list[int]:
    """Units of each hidden layer."""
    return [max(1, round(config.width * config.taper**layer)) for layer in range(config.depth)]


# blocks


def make_hidden(in_features: int, out_features: int, config: MLPConfig) -> nn.Sequential:
    """A linear layer, batch norm, activation and dropout: (N, in_features) → (N, out_features)."""
    norm_next = config.norm_placement == "before"
    layers: list[tuple[str, nn.Module]] = [
        ("linear", nn.Linear(in_features, out_features, bias=not norm_next)),
        ("act", ACTIVATIONS[config.activation]()),
        ("dropout", nn.Dropout(config.head_dropout)),
    ]
    if config.norm_placement != "none":
        layers.insert(1 if norm_next else 2, ("norm", nn.BatchNorm1d(out_features)))
    return nn.Sequential(OrderedDict(layers))


# net


class MLP(Classifier):
    """Pixels in a row, hidden layers and a linear layer."""

    def __init__(self, config: MLPConfig, image: ImageSpec) -> None:
        super().__init__()
        factor = averaging(image.image_size, config.input_side)
        units = [image.in_channels * (image.image_size // factor) ** 2, *hidden_units(config)]
        self.input = nn.Sequential(
            nn.AvgPool2d(factor) if factor > 1 else nn.Identity(),
            nn.Flatten(),  # (N, C · side · side)
            nn.Dropout(config.input_dropout),
        )
        self.hidden = nn.Sequential(*(make_hidden(*ends, config) for ends in pairwise(units)))
        self.head = nn.Linear(units[-1], image.num_classes)
        initialize(self)

    def forward_features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images → (N, F)."""
        features: Tensor = self.hidden(self.input(images))
        return features

    def forward_head(self, features: Tensor) -> Tensor:
        """(N, F) → (N, num_classes) logits."""
        logits: Tensor = self.head(features)
        return logits
