"""ExplainedNetwork: a member of an ensemble, or all of it, as a differentiable function of normalised images.

Explained is the log-odds of a class, log p / (1 - p): a probability near 1 hardly moves whatever is changed, so its
gradient says nothing of the surest answers; log-odds go on. Every network sees the image as it is, also one that is
shown it mirrored or shifted besides: heat belongs where the pixels are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from convscout.search_space.classifier import Classifier
from convscout.services.ensembles.trained import TrainedEnsemble, TrainedMember
from convscout.trials.data.splits import Pixels
from convscout.trials.evaluation.metrics import Probabilities


class CalibratedNetwork(nn.Module):
    """One network: normalised images (N, C, H, W) → calibrated log-probabilities (N, K)."""

    def __init__(self, network: Classifier, temperature: float) -> None:
        super().__init__()
        self.network = network
        self._temperature = temperature
        for module in network.modules():
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment] # what a layer put out must stay as it was
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return (logits / self._temperature).log_softmax(dim=1)


class ExplainedNetwork(nn.Module):
    """Normalised images (N, C, H, W) → log-odds (N, K). A member has one part, the ensemble one for each member.

    ``name`` is for a file, ``title`` for a person, ``weights`` are those of the parts: of their probabilities, or of
    their logarithms where there are ``biases`` (K) to add.
    """

    parts: nn.ModuleList

    def __init__(
        self,
        name: str,
        title: str,
        parts: Sequence[CalibratedNetwork],
        weights: Sequence[float],
        *,
        temperature: float = 1.0,
        biases: Sequence[float] = (),
    ) -> None:
        super().__init__()
        self.name = name
        self.title = title
        self.parts = nn.ModuleList(parts)
        self.weights = tuple(weights)
        self._temperature = temperature
        self._biases = tuple(biases)

    def forward(self, images: Tensor) -> Tensor:
        return log_odds(self._log_probabilities(images))

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Probabilities:
        """(N, C, H, W) normalised images → (N, K) probabilities."""
        answer: Probabilities = self._log_probabilities(images).softmax(dim=1).numpy()
        return answer

    def _log_probabilities(self, images: Tensor) -> Tensor:
        """(N, K), up to a constant for each image."""
        weighed = list(zip(self.parts, self.weights, strict=True))
        if self._biases:
            mean = torch.stack([weight * part(images) for part, weight in weighed]).sum(dim=0)
            return (mean + torch.tensor(self._biases)) / self._temperature
        answers = [part(images) + float(np.log(weight)) for part, weight in weighed]
        return torch.stack(answers).logsumexp(dim=0) / self._temperature


def log_odds(logits: Tensor) -> Tensor:
    """Of each class against all others: (N, K) → (N, K). A constant added to the logits of an image changes nothing."""
    count = logits.shape[1]
    others = logits[:, None].expand(-1, count, -1)  # (N, K, K)
    own = torch.eye(count, dtype=torch.bool)
    return logits - others.masked_fill(own, -torch.inf).logsumexp(dim=2)


def networks(ensemble: TrainedEnsemble, members: int | None) -> list[ExplainedNetwork]:
    """The ensemble, then as many of its ``members``, the weightiest first; None means all."""
    parts = {m.name: CalibratedNetwork(m.build(ensemble.image), m.temperature) for m in ensemble.members}
    whole = ExplainedNetwork(
        "ensemble",
        "ensemble",
        list(parts.values()),
        [member.weight for member in ensemble.members],
        temperature=ensemble.temperature,
        biases=ensemble.biases,
    )
    return [
        whole,
        *(ExplainedNetwork(m.stem, _title(m), [parts[m.name]], [1.0]) for m in weightiest(ensemble, members)),
    ]


def weightiest(ensemble: TrainedEnsemble, count: int | None) -> list[TrainedMember]:
    """The ``count`` members of the greatest weight."""
    return sorted(ensemble.members, key=lambda member: -member.weight)[:count]


def normalise(images: Pixels, ensemble: TrainedEnsemble) -> Tensor:
    """(N, H, W, C) uint8 → (N, C, H, W) float32, as the networks were trained."""
    mean = torch.tensor(ensemble.normalization.mean).view(1, -1, 1, 1)
    std = torch.tensor(ensemble.normalization.std).view(1, -1, 1, 1)
    return (torch.tensor(np.asarray(images)).permute(0, 3, 1, 2) / 255 - mean) / std


def _title(member: TrainedMember) -> str:
    return f"trial {member.name}, {member.architecture.family} ({member.weight:.0%})"
