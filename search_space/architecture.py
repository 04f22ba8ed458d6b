"""ArchitectureConfig: what every architecture family is, and the registry of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from search_space.configurable import Configurable
from search_space.errors import UnknownNameError
from search_space.registry import Registry


@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """What a network must accept and answer.

    ``image_size`` is the side of the square image in pixels. ``symmetries`` names the changes that
    keep a label true ("horizontal_flip"); the dataset declares them, and augmentations obey them.
    """

    in_channels: int
    image_size: int
    num_classes: int
    symmetries: tuple[str, ...] = ()


class Classifier(nn.Module, ABC):
    """A network in two halves, so that heads can be replaced and features looked at."""

    @abstractmethod
    def forward_features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images → (N, C', H', W') or (N, F) features before the head."""

    @abstractmethod
    def forward_head(self, features: Tensor) -> Tensor:
        """Features → (N, num_classes) logits."""

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images → (N, num_classes) logits."""
        return self.forward_head(self.forward_features(images))

    def forward_training(self, images: Tensor) -> list[Tensor]:
        """All logits to learn from, each (N, num_classes): those of ``forward``, then any auxiliary heads'."""
        return [self(images)]

    def initialize_from(self, images: Tensor) -> None:
        """Set weights that are derived from data; called once, before training. By default nothing is.

        ``images`` are some normalised training images, (N, C, H, W), on the device of the network.
        """

    def learning_rate_scale(self, parameter: str) -> float:
        """Factor on the learning rate of the parameter so named; 1 unless layers are to learn at different speeds."""
        return 1.0


@dataclass(frozen=True, kw_only=True)
class ArchitectureConfig(Configurable, ABC):
    """One point of a family's design space. A family is a subclass, registered with ``@families.register``.

    ``variants`` holds the published configurations: name → the fields that differ from the defaults.
    ``searched`` is False for a family that takes part only when a study names it. Where the time does not
    suffice for all families, those of the greatest ``strength`` are tried: the validation accuracy of the
    default configuration after three epochs on 10,000 images of CIFAR-10 (docs/design-space.md).
    """

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    searched: ClassVar[bool] = True
    strength: ClassVar[float] = 1.0  # whoever installs a family of his own wants to see it tried

    @property
    def family(self) -> str:
        """The registered name of the family."""
        return self.name

    @classmethod
    def published(cls, variant: str) -> Self:
        """The published configuration called ``variant``; raises ``UnknownNameError`` listing them."""
        if variant not in cls.variants:
            raise UnknownNameError.among(f"variant of {cls.name}", variant, tuple(cls.variants))
        return cls(**cls.variants[variant])

    @abstractmethod
    def build(self, image: ImageSpec) -> Classifier:
        """A freshly initialised network. Raises ``UnbuildableError`` where the images are too small for it."""


families: Registry[type[ArchitectureConfig]] = Registry(
    "family", package="search_space.families", group="convscout.families"
)


def architecture_from_dict(values: Mapping[str, Any]) -> ArchitectureConfig:
    """The configuration that ``to_dict`` wrote, of whichever family."""
    return families.get(values["name"]).from_dict(values)
