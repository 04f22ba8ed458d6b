"""Setting: what a search needs to know beside its ledger."""

from __future__ import annotations

from dataclasses import dataclass, field

from search_space.space import SearchSpace
from services.budget import Budget
from services.pace import Pace
from trials.machine_speed import MachineSpeed


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the search needs to know beside its ledger.

    ``num_test`` images are judged at the end; of ``workers``, each trial takes ``gpu_share`` of a GPU. ``speed`` is
    that of the machine, as far as it is known, and ``pace`` what it makes expect of these images.
    """

    space: SearchSpace
    budget: Budget
    fingerprint: str
    num_training: int
    num_validation: int
    num_test: int
    gpu_share: float
    device: str
    workers: int = 1
    speed: MachineSpeed | None = None
    pace: Pace = field(default_factory=Pace)
