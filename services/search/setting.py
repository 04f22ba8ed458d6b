"""SearchSetting: what a search needs to know beside its ledger."""

from __future__ import annotations

from dataclasses import dataclass, field

from convscout.search_space.space import SearchSpace
from convscout.services.search.budget import Budget
from convscout.services.search.phases import PhasePlan
from convscout.services.search.runtime_model import RuntimeModel
from convscout.trials.training.machine_speed import MachineSpeed


@dataclass(frozen=True, kw_only=True)
class SearchSetting:
    """What the search needs to know beside its ledger.

    ``num_test`` images are judged at the end; of ``workers`` with so many ``threads``, each takes ``gpu_share`` of a
    GPU. ``speed`` is that of the machine, as far as it is known, and ``runtime`` what it makes expect of these images.
    ``plan`` says how many of the trials are scouts.
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
    threads: int = 1
    speed: MachineSpeed | None = None
    runtime: RuntimeModel = field(default_factory=RuntimeModel)
    plan: PhasePlan = field(default_factory=PhasePlan)
