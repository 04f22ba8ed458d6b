"""ArchitectureConfig: what every architecture family is, and the registry of them.

What describes a network imports no torch, so that whoever reads what was trained need not wait for it; the
registry's entries build networks, and import it when the first of them is asked for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from convscout.search_space.configurable import Configurable
from convscout.search_space.errors import UnknownNameError
from convscout.search_space.knobs import Scalar
from convscout.search_space.registry import Registry

if TYPE_CHECKING:
    from convscout.search_space.classifier import Classifier


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


@dataclass(frozen=True, kw_only=True)
class ArchitectureConfig(Configurable, ABC):
    """One point of a family's design space. A family is a subclass, registered with ``@families.register``.

    ``variants`` holds the published configurations: name → the fields that differ from the defaults.
    ``proven_recipe`` says, by full name, where the recipe that is proven for the family differs from the usual one.
    ``searched`` is False for a family that takes part only when a study names it. Where the time does not
    suffice for all families, those of the greatest ``strength`` are tried: the validation accuracy of the
    default configuration after three epochs on 10,000 images of CIFAR-10 (docs/design-space.md).

        from dataclasses import dataclass
        from convscout.search_space.architecture import ArchitectureConfig, families
        from convscout.search_space.classifier import Classifier
        from convscout.search_space.knobs import integer
        from torch import nn

        class OneLayer(Classifier):
            def __init__(self, width, image):
                super().__init__()
                self.filters = nn.Conv2d(image.in_channels, width, 3, padding=1)
                self.head = nn.Linear(width, image.num_classes)

            def forward_features(self, images):
                return self.filters(images).relu()

            def forward_head(self, features):
                return self.head(features.mean(dim=(2, 3)))

        @families.register("one_layer")
        @dataclass(frozen=True, kw_only=True)
        class OneLayerConfig(ArchitectureConfig):
            width: int = integer(32, low=8, high=64, log=True, help="filters")

            def build(self, image):
                return OneLayer(self.width, image)
    """

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    searched: ClassVar[bool] = True
    proven_recipe: ClassVar[Mapping[str, Scalar]] = {}
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
    "family", package="convscout.search_space.families", group="convscout.families"
)


def architecture_from_dict(values: Mapping[str, Any]) -> ArchitectureConfig:
    """The configuration that ``to_dict`` wrote, of whichever family."""
    return families.get(values["name"]).from_dict(values)
