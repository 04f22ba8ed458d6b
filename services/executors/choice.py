"""Which executor a study's networks are trained by."""

from __future__ import annotations

from services.config import StudyConfig
from services.executors.base import Executor
from services.executors.in_process import InProcessExecutor
from services.home import Home
from services.placement import Placement, num_cores
from trials.batches import TrainingData


def executor_of(config: StudyConfig, data: TrainingData, placement: Placement, home: Home) -> Executor:
    """The one that ``config`` names, with as many workers as ``placement`` says."""
    workers, gpus = placement.workers, placement.gpus
    if config.executor == "in-process":
        threads = config.threads or max(1, num_cores() // workers)
        return InProcessExecutor(data, threads=threads, workers=workers, gpus=gpus)
    from services.executors.ray_tune import RayExecutor  # importing ray takes seconds

    return RayExecutor(
        data,
        workers=workers,
        threads=config.threads or 1,
        gpus=gpus,
        gpu_share=placement.gpu_share,
        address=config.ray_address,
        scratch=home.study(config.name) if config.ray_address else None,
    )
