"""A trial with next to nothing to train, as an installed plug-in: what is left is what a trial costs by itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec
from convscout.search_space.classifier import Classifier
from convscout.search_space.knobs import real

NAME = "one_weight"
_METADATA = "Metadata-Version: 2.1\nName: one-weight\nVersion: 1\n"
_ENTRY_POINTS = f"[convscout.families]\n{NAME} = {__name__}:OneWeightConfig\n"


@dataclass(frozen=True, kw_only=True)
class OneWeightConfig(ArchitectureConfig):
    """A network of one weight; ``start`` makes candidates differ."""

    start: float = real(0.5, low=0.0, high=1.0, help="the weight before training")

    def build(self, image: ImageSpec) -> OneWeight:
        return OneWeight(self.start, image.num_classes)


class OneWeight(Classifier):
    """The mean of the image times the weight is the logit of every other class."""

    def __init__(self, start: float, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([start]))  # (1,)
        self.register_buffer("signs", torch.arange(num_classes).remainder(2).float())  # (K,)

    def forward_features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → (N, 1)."""
        return images.mean((1, 2, 3))[:, None]

    def forward_head(self, features: Tensor) -> Tensor:
        """(N, 1) → (N, K)."""
        return features * self.weight * self.signs


@contextmanager
def installed() -> Iterator[None]:
    """Let this process and those it starts find the family as they find that of any installed package."""
    root, before = str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")
    with TemporaryDirectory() as site:
        package = Path(site) / "one_weight-1.dist-info"
        package.mkdir()
        (package / "METADATA").write_text(_METADATA)
        (package / "entry_points.txt").write_text(_ENTRY_POINTS)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (site, root, before)))
        sys.path.append(site)
        try:
            yield
        finally:
            sys.path.remove(site)
            if before is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = before
