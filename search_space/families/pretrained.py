"""Pretrained: torchvision's networks with their ImageNet weights, fine-tuned.

Yosinski, Clune, Bengio & Lipson (2014), "How transferable are features in deep neural networks?", sections 2
and 4, on freezing the first layers; Howard & Ruder (2018), "Universal Language Model Fine-tuning for Text
Classification", section 3.2, on learning rates that fall from the head down to the stem. Any head is replaced
by global average pooling and a new linear layer. Images are normalised as the study's own data asks, not as
ImageNet's. For other than three channels, the first filters are averaged over colours, which keeps the scale
of what they answer.

It only looks for weights on disk, where ``torch.hub`` keeps them; it never fetches any.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

import torch
from torch import nn

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.errors import UnbuildableError
from convscout.search_space.geometry import require_side
from convscout.search_space.knobs import choice, integer, real
from convscout.search_space.layers import first_conv, initialize
from convscout.search_space.staged import StagedNet

BACKBONES = (
    "resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0",
    "convnext_tiny",
)  # fmt: skip
LEAST_SIDE = 32  # pixels: all these networks halve images five times


@families.register("pretrained")
@dataclass(frozen=True, kw_only=True)
class PretrainedConfig(ArchitectureConfig):
    """A network of torchvision's, of which the first ``frozen`` stages stay as they are."""

    backbone: str = choice(
        "mobilenet_v3_small", ("resnet18", "mobilenet_v3_small", "efficientnet_b0"), legal=BACKBONES,
        help="network whose weights to start from",
    )  # fmt: skip
    frozen: int = integer(0, low=0, high=3, minimum=0, maximum=8, help="first stages that do not learn")
    enlarge: int = choice(2, (1, 2, 3), legal=(1, 2, 3, 4, 6, 8), help="times the side of the images")
    rate_decay: float = real(
        0.6, low=0.3, high=1.0, minimum=0.01, maximum=1.0, help="learning rate of a stage ÷ that of the next"
    )
    head_dropout: float = real(0.0, low=0.0, high=0.5, maximum=0.9, help="probability of dropping a feature")

    searched: ClassVar[bool] = False  # it needs weights that somebody has fetched
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def build(self, image: ImageSpec) -> Pretrained:
        """Raises ``UnbuildableError`` where the weights are not on disk, saying what to fetch."""
        require_side(self.name, image, 8)
        return Pretrained(self, image)


# geometry


def enlargement(config: PretrainedConfig, image_size: int) -> int:
    """How many times the side of the images is enlarged: as asked for, and to ``LEAST_SIDE`` pixels at least.

    Smaller images are down to one pixel before the last halving, and torch 2.15's CPU kernels must not be
    given a stride over one pixel: in bfloat16, the gradient of its filters is garbage.
    """
    return max(config.enlarge, -(-LEAST_SIDE // image_size))


# weights


def weights_file(backbone: str) -> tuple[str, Path]:
    """Where the weights of ``backbone`` are published, and where they must lie."""
    url: str = _torchvision_models().get_model_weights(backbone).DEFAULT.url
    return url, Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name


def pretrained_backbone(backbone: str) -> nn.Module:
    """The network with its weights. On the meta device, where nothing holds values, they need only exist."""
    url, path = weights_file(backbone)
    remedy = f"fetch {url} and put it at {path}, or leave pretrained out of families"
    if not path.is_file():
        raise UnbuildableError(f"pretrained needs the weights of {backbone}, which are not here; {remedy}")
    with torch.device("meta"):  # drawing weights that are replaced at once takes longer than all the rest
        network: nn.Module = _torchvision_models().get_model(backbone, weights=None)
    if not torch.empty(0).is_meta:
        try:
            weights = torch.load(path, map_location="cpu", weights_only=True)
            network.load_state_dict(weights, assign=True)
        except (RuntimeError, EOFError, UnpicklingError, OSError) as error:
            cause = f"{type(error).__name__}: {error}".splitlines()[0]
            raise UnbuildableError(f"pretrained cannot read {path} ({cause}); {remedy}") from error
    return network


# blocks


def split_stages(network: nn.Module) -> tuple[nn.Sequential, int]:
    """Everything before the pooling, cut into stages of one resolution or so, and the maps they end with."""
    children = dict(network.named_children())
    head = [module for key in ("classifier", "fc") if key in children for module in children[key].modules()]
    in_features = next(module.in_features for module in head if isinstance(module, nn.Linear))
    if "features" in children:  # MobileNet, EfficientNet, ConvNeXt: one child a block or stage
        stages = list(children["features"].children())
    else:  # ResNet
        stem = nn.Sequential(*(children[key] for key in ("conv1", "bn1", "relu", "maxpool")))
        stages = [stem, *(children[f"layer{number}"] for number in range(1, 5))]
    return nn.Sequential(*stages), in_features


def adapt_channels(conv: nn.Conv2d, in_channels: int) -> None:
    """Let a first convolution take ``in_channels`` instead of three."""
    if in_channels != conv.in_channels:
        scale = conv.in_channels / in_channels
        mean = conv.weight.detach().mean(dim=1, keepdim=True)  # (out, 1, h, w)
        conv.weight = nn.Parameter(scale * mean.repeat(1, in_channels, 1, 1))
        conv.in_channels = in_channels


# net


class Pretrained(StagedNet):
    """Images enlarged, the stages of a pretrained network, and a new head."""

    def __init__(self, config: PretrainedConfig, image: ImageSpec) -> None:
        factor = enlargement(config, image.image_size)
        enlarge = nn.Upsample(scale_factor=factor, mode="bilinear")  # (N, C, factor · H, factor · W)
        stages, in_features = split_stages(pretrained_backbone(config.backbone))
        adapt_channels(first_conv(stages), image.in_channels)
        linear = nn.Linear(in_features, image.num_classes)
        initialize(linear)
        head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),  # (N, C)
            nn.Dropout(config.head_dropout),
            linear,
        )
        super().__init__(enlarge if factor > 1 else nn.Identity(), stages, head)
        self.rate_decay = config.rate_decay
        self.num_frozen = min(config.frozen, len(self.stages))
        self.stages[: self.num_frozen].requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Switch training on or off; frozen stages keep the batch statistics that they came with."""
        super().train(mode)
        self.stages[: self.num_frozen].eval()
        return self

    def learning_rate_scale(self, parameter: str) -> float:
        """1 for the head, and ``rate_decay`` times less with each stage before it."""
        part, stage, *_ = parameter.split(".")
        return 1.0 if part == "head" else self.rate_decay ** (len(self.stages) - int(stage))


def _torchvision_models() -> Any:  # it has no types
    from torchvision import models  # takes seconds to import

    return models
