"""StagedNet: the shape of most networks, a stem, stages and a head."""

from __future__ import annotations

from torch import Tensor, nn

from convscout.search_space.classifier import Classifier


class StagedNet(Classifier):
    """What ``stem`` makes of the images goes through ``stages``, one after another, and to ``head``.

    A net without a stem has the identity there.
    """

    def __init__(self, stem: nn.Module, stages: nn.Sequential, head: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        self.stages = stages
        self.head = head

    def forward_features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images → (N, C', H', W')."""
        features: Tensor = self.stages(self.stem(images))
        return features

    def forward_head(self, features: Tensor) -> Tensor:
        """(N, C', H', W') → (N, num_classes) logits."""
        logits: Tensor = self.head(features)
        return logits
