"""Networks: the state dicts that a trial left, each by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from convscout.search_space.errors import CorruptCheckpointError
from convscout.services.ensembles.ensemble import BEST
from convscout.trials.checkpoints.trial_directory import BestEpoch, TrialDirectory

RAW, SOUP, REFIT = "raw", "soup", "refit"


def networks_of(kept: BestEpoch, past: Sequence[BestEpoch]) -> dict[str, Mapping[str, Tensor]]:
    """What a trial left, by name: its best epoch, the same without the average, and its mean with ``past`` ones.

    The mean of epochs of one training is a network of its own (Wortsman et al., 2022, "Model soups", section 2;
    Izmailov et al., 2018, for epochs).
    """
    found: dict[str, Mapping[str, Tensor]] = {BEST: kept.weights}
    if kept.raw is not None:
        found[RAW] = kept.raw
    if past:
        found[SOUP] = {
            name: torch.stack([value, *(each.weights[name] for each in past)]).mean(dim=0)
            if value.is_floating_point()
            else value
            for name, value in kept.weights.items()
        }
    return found


def network(directory: TrialDirectory, name: str) -> Mapping[str, Tensor]:
    """The one called ``name`` of the trial in ``directory``. Raises ``CorruptCheckpointError`` when it is lost."""
    if name.startswith(REFIT):
        kept, wanted = TrialDirectory(directory.path / name).load_best(), BEST
    else:
        kept, wanted = directory.load_best(), name
    past = directory.load_past() if wanted == SOUP else []
    found = networks_of(kept, past) if kept else {}
    if wanted not in found:
        raise CorruptCheckpointError(
            f"the network {name!r} of trial {directory.path.name} is missing or damaged"
        )
    return found[wanted]


def refit_directory(directory: TrialDirectory, seed: int) -> TrialDirectory:
    """Where the trial of ``directory`` is trained once more, on more images."""
    return TrialDirectory(directory.path / refit_name(seed))


def refit_name(seed: int) -> str:
    """What the network is called that was trained once more with the ``seed``-th seed, from 1."""
    return f"{REFIT}-{seed}"
