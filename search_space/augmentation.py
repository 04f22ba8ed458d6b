"""AugmentationConfig: what every augmentation policy is, and the registry of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from convscout.search_space.configurable import Configurable
from convscout.search_space.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Augmentation(Protocol):
    """What changes a whole training batch on its device."""

    def apply(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Change ``images`` (N, C, H, W), normalised floats, and ``targets`` (N, K), class probabilities.

        All randomness comes from ``generator``, a generator on the CPU, so that a resumed trial sees
        the batches it would have seen. Returns new tensors; the arguments are not written to.
        """


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig(Configurable, ABC):
    """An augmentation policy: an ``Augmentation`` with its settings.

    A recipe applies two policies in turn: first its ``augmentation``, which moves and mirrors whole
    images, then its ``distortion``, which changes what is seen in them. ``parts`` names those of the
    two that a policy can be. ``needs`` names the symmetries a dataset must declare for the policy to
    keep its labels true. ``searched`` is False for a policy that takes part only when a study names it.
    The images of an ``alternating`` one are mirrored left to right in every other epoch before it sees them.

        from dataclasses import dataclass
        import torch
        from convscout.search_space.augmentation import AugmentationConfig, augmentations
        from convscout.search_space.knobs import real
        from convscout.search_space.transfer import to_device

        @augmentations.register("fading")
        @dataclass(frozen=True, kw_only=True)
        class Fading(AugmentationConfig):
            parts = ("distortion",)

            least: float = real(0.5, low=0.2, high=0.9, help="least share of the contrast that is left")

            def apply(self, images, targets, generator):
                drawn = torch.rand((len(images), 1, 1, 1), generator=generator)
                contrast = self.least + (1 - self.least) * drawn
                return images * to_device(contrast, images.device), targets
    """

    parts: ClassVar[tuple[str, ...]] = ("augmentation",)
    needs: ClassVar[tuple[str, ...]] = ()
    searched: ClassVar[bool] = True
    alternating: ClassVar[bool] = False

    @abstractmethod
    def apply(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """As ``Augmentation.apply`` says."""


@dataclass(frozen=True)
class InTurn:
    """Augmentations applied one after the other."""

    augmentations: tuple[Augmentation, ...]

    def apply(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """As ``Augmentation.apply`` says."""
        for augmentation in self.augmentations:
            images, targets = augmentation.apply(images, targets, generator)
        return images, targets


augmentations: Registry[type[AugmentationConfig]] = Registry(
    "augmentation", package="convscout.search_space.augmentations", group="convscout.augmentations"
)


def augmentation_from_dict(values: Mapping[str, Any]) -> AugmentationConfig:
    """The configuration that ``to_dict`` wrote, of whichever policy."""
    return augmentations.get(values["name"]).from_dict(values)
