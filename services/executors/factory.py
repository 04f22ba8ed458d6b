"""Which executor trains the networks of a study, and on which cluster, if on one."""

from __future__ import annotations

from pathlib import Path

from convscout.services.config.home import Home
from convscout.services.config.study_config import StudyConfig
from convscout.services.executors.base import Executor
from convscout.services.executors.cluster import check_reachable, refused
from convscout.services.executors.in_process import InProcessExecutor
from convscout.services.executors.placement import Machine, Placement
from convscout.trials.data.batches import TrainingData


def executor_of(config: StudyConfig, data: TrainingData, placement: Placement, home: Home) -> Executor:
    """The one that ``config`` names, with as many workers as ``placement`` says."""
    workers, gpus = placement.workers, placement.gpus
    if config.executor == "in-process":
        return InProcessExecutor(data, threads=placement.threads, workers=workers, gpus=gpus)
    from convscout.services.executors.ray_tune import RayExecutor  # importing ray takes seconds

    return RayExecutor(
        data,
        workers=workers,
        threads=placement.threads,
        gpus=gpus,
        gpu_share=placement.gpu_share,
        address=config.ray_address,
        scratch=home.study(config.name).directory if config.ray_address else None,
    )


def inspect_cluster(config: StudyConfig, home: Path) -> Machine | None:
    """What the cluster has that runs the trials of ``config``; None where this machine runs them.

    Raises ``ConfigError`` for a cluster that cannot be reached, or that a study in ``home`` cannot be trusted to.
    """
    if config.ray_address is None:
        return None
    if config.executor != "ray":
        raise refused(config.ray_address, f"must be left out with --executor {config.executor}")
    check_reachable(config.ray_address)  # before ray is imported, which reads whether it is to use a token
    from convscout.services.executors.ray_tune import survey  # importing ray takes seconds

    return survey(config.ray_address, home)
