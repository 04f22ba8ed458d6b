"""TrainedEnsemble: everything an export holds, and the one module it computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec
from convscout.search_space.classifier import Classifier
from convscout.search_space.errors import ExportError
from convscout.services.ensembles.ensemble import NetworkView
from convscout.services.ensembles.resizing import CentreSquare
from convscout.trials.compute.threads import spread_over_threads
from convscout.trials.data.mapped_images import Images
from convscout.trials.data.splits import Normalization
from convscout.trials.data.white import FULL
from convscout.trials.evaluation.metrics import Probabilities
from convscout.trials.evaluation.tta import VIEWS, Viewed

_BATCH = 64  # images of all threads together; bounds the memory that large images take


def member_stem(number: int, network: str) -> str:
    """What files about a ``network`` of the trial ``number`` are called."""
    return f"member-{number:05d}-{network}"


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedMember(NetworkView):
    """A trained network: trial ``number``, share ``weight`` of the answer, and its state dict ``weights``.

    Its logits are divided by ``temperature``. ``network`` and ``view`` are as in ``EnsembleMember``.
    """

    weight: float
    architecture: ArchitectureConfig
    weights: dict[str, Tensor]
    temperature: float = 1.0

    @property
    def stem(self) -> str:
        """What files about it are called."""
        return member_stem(self.number, self.network)

    def build(self, image: ImageSpec) -> Classifier:
        """The network with its weights, in eval mode. Raises ``ExportError`` when they do not fit."""
        model = self.architecture.build(image)
        try:
            model.load_state_dict(self.weights)
        except RuntimeError as error:
            raise ExportError(
                f"the weights of trial {self.name} do not fit its architecture: {error}"
            ) from error
        return model.eval()


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedEnsemble:
    """The selected networks with all that is needed to use them, and to say where they come from.

    ``study`` and ``data`` are names, ``fingerprint`` identifies the images; the members' weights sum
    to 1, and their mean is brought to ``temperature``; it is that of logarithms where there are ``biases`` (K) of the
    classes. ``white`` is the level that was white in the images (see ``trials/data/white.py``). ``metrics`` maps a name
    (``test.accuracy``) to its value, for the model card.
    """

    study: str
    data: str
    fingerprint: str
    class_names: tuple[str, ...]
    image: ImageSpec
    normalization: Normalization
    members: tuple[TrainedMember, ...]
    metrics: Mapping[str, float]
    temperature: float = 1.0
    biases: tuple[float, ...] = ()
    white: int = FULL

    @property
    def example(self) -> Tensor:
        """Images to trace with: two, because torch takes a dimension of 1 for a constant."""
        size, channels = self.image.image_size, self.image.in_channels
        return torch.zeros(2, size, size, channels, dtype=torch.uint8)  # (N, H, W, C)

    @property
    def dynamic_shapes(self) -> dict[str, dict[int, Any]]:
        """What of ``example`` may be any other: how many images, and their height and width."""
        names = ("batch", "height", "width")
        return {"images": {axis: torch.export.Dim(name) for axis, name in enumerate(names)}}

    def build_module(self) -> EnsembleModule:
        """The ensemble on the CPU, in eval mode."""
        return EnsembleModule(self)


class EnsembleModule(nn.Module):
    """From pixels to calibrated probabilities: resizing, normalisation, members, softmax and weighted mean.

    Takes (N, H, W, C) uint8 images of any size, of which it sees the square in the middle, and gives (N, K) float32
    probabilities.
    """

    scale: Tensor
    shift: Tensor
    biases: Tensor

    def __init__(self, ensemble: TrainedEnsemble) -> None:
        super().__init__()
        self.resized = CentreSquare(ensemble.image.image_size)
        self.members = nn.ModuleList(
            [Viewed(member.build(ensemble.image), VIEWS[member.view]) for member in ensemble.members]
        )
        self.weights = tuple(member.weight for member in ensemble.members)
        self.temperatures = tuple(member.temperature for member in ensemble.members)
        self.temperature = ensemble.temperature
        self.by_logarithms = bool(ensemble.biases)
        # (x / 255 - mean) / std as one multiply-add on bytes, as in training
        mean, std = torch.tensor(ensemble.normalization.mean), torch.tensor(ensemble.normalization.std)
        self.register_buffer("scale", (1 / (255 * std)).view(1, -1, 1, 1))  # (1, C, 1, 1)
        self.register_buffer("shift", (-mean / std).view(1, -1, 1, 1))  # (1, C, 1, 1)
        self.register_buffer("biases", torch.tensor(ensemble.biases or (0.0,)))  # (K,)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        pixels = self.resized(images.permute(0, 3, 1, 2).float())  # (N, C, size, size)
        return self.of_normalised(pixels * self.scale + self.shift)

    def of_normalised(self, normalised: Tensor) -> Tensor:
        """What they answer (N, K) to normalised images (N, C, size, size)."""
        logits = [
            member(normalised) / temperature
            for member, temperature in zip(self.members, self.temperatures, strict=True)
        ]  # each (N, K)
        if self.by_logarithms:
            weighted = [w * each.log_softmax(dim=1) for w, each in zip(self.weights, logits, strict=True)]
            return ((torch.stack(weighted).sum(dim=0) + self.biases) / self.temperature).softmax(dim=1)
        weighted = [weight * each.softmax(dim=1) for weight, each in zip(self.weights, logits, strict=True)]
        mean = torch.stack(weighted).sum(dim=0)  # (N, K)
        if self.temperature == 1:
            return mean
        return (mean.clamp_min(torch.finfo(mean.dtype).tiny).log() / self.temperature).softmax(dim=1)

    def answer(self, images: Images) -> Probabilities:
        """(N, H, W, C) uint8 images → (N, K) float32 probabilities, a few images at a time."""
        size = max(1, _BATCH // torch.get_num_threads())

        @torch.inference_mode()
        def answer_from(start: int) -> Probabilities:
            # copied, because torch warns of arrays that are read-only
            found: Probabilities = self(torch.tensor(images[start : start + size])).numpy()
            return found

        starts = range(0, max(1, len(images)), size)  # of no images too, as their answers have a shape
        return np.concatenate(list(spread_over_threads(answer_from, starts)))
