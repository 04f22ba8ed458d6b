"""AugmentationConfig: what every augmentation policy is, and the registry of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from search_space.configurable import Configurable
from search_space.registry import Registry


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig(Configurable, ABC):
    """A policy that changes a whole training batch on its device.

    ``needs`` names the symmetries a dataset must declare for the policy to keep its labels true.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def apply(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Change ``images`` (N, C, H, W), normalised floats, and ``targets`` (N, K), class probabilities.

        All randomness comes from ``generator``, a generator on the CPU, so that a resumed trial sees
        the batches it would have seen. Returns new tensors; the arguments are not written to.
        """


augmentations: Registry[type[AugmentationConfig]] = Registry(
    "augmentation", package="search_space.augmentations", group="convscout.augmentations"
)


def augmentation_from_dict(values: Mapping[str, Any]) -> AugmentationConfig:
    """The configuration that ``to_dict`` wrote, of whichever policy."""
    return augmentations.get(values["name"]).from_dict(values)
