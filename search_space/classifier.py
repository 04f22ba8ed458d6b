"""Classifier: what every network of a family is."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


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
