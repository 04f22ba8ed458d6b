"""Views: the ways in which a trained network can look at an image, more than once if that helps it.

Test-time augmentation: the logits of all looks are averaged (Krizhevsky, Sutskever, Hinton, 2012, section 4.1).
Shapes: N images of C channels, H × W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from convscout.trials.data.splits import HORIZONTAL_FLIP
from convscout.trials.evaluation.views import MIRRORED, PLAIN, SHIFTED


@dataclass(frozen=True, kw_only=True)
class View:
    """One way to look: ``looks`` makes of images (N, C, H, W) as many of the same shape as there are ``passes``.

    It is for datasets of which ``needs`` is a symmetry, if anything.
    """

    name: str
    passes: int
    looks: Callable[[Tensor], list[Tensor]]
    needs: str = ""


def _shift(images: Tensor) -> list[Tensor]:
    """As they are, and a pixel along either way of the diagonal."""
    height, width = images.shape[2:]
    wide = pad(images, (1, 1, 1, 1), mode="replicate")
    return [images, wide[:, :, :height, :width], wide[:, :, 2:, 2:]]


VIEWS: Mapping[str, View] = {
    view.name: view
    for view in (
        View(name=PLAIN, passes=1, looks=lambda images: [images]),
        View(name=MIRRORED, passes=2, looks=lambda images: [images, images.flip(3)], needs=HORIZONTAL_FLIP),
        View(name=SHIFTED, passes=3, looks=_shift),
    )
}


def best_view(symmetries: Sequence[str]) -> View:
    """The one besides the plain one that is worth its passes on images of these ``symmetries``."""
    mirrored = VIEWS[MIRRORED]
    return mirrored if mirrored.needs in symmetries else VIEWS[SHIFTED]


class Viewed(nn.Module):
    """``model`` with a view of its own: mean logits (N, K) of all looks, which it takes in one batch."""

    def __init__(self, model: nn.Module, view: View) -> None:
        super().__init__()
        self.model = model
        self.view = view

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(torch.cat(self.view.looks(images)))  # (passes × N, K)
        if self.view.passes == 1:
            return logits
        return torch.stack(logits.tensor_split(self.view.passes)).mean(dim=0)
