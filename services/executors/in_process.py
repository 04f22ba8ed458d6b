"""Trains trials one after another in this process: no Ray, nothing to start, easy to debug."""

from __future__ import annotations

from contextlib import closing

import torch

from search_space.errors import StudyInterrupted
from services.executors.base import Controller
from trials.batches import TrainingData
from trials.run import Dispatch, TrialRun


class InProcessExecutor:
    """One worker, this process, computing with ``threads`` threads."""

    name = "in-process"
    workers = 1

    def __init__(self, data: TrainingData, *, threads: int) -> None:
        self._data = data
        self._threads = threads

    def run(self, controller: Controller) -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            while not controller.should_stop() and (dispatch := controller.next_dispatch()):
                self._train(dispatch, controller)
        except StudyInterrupted:
            return
        finally:
            torch.set_num_threads(before)

    def _train(self, dispatch: Dispatch, controller: Controller) -> None:
        number, attempt = dispatch.config.number, dispatch.config.attempt
        with closing(TrialRun(dispatch, self._data, should_stop=controller.should_stop)) as run:
            while True:
                progress = run.step()
                if progress.result:
                    controller.on_end(progress.result)
                    return
                assert progress.measurement is not None
                if not controller.on_epoch(number, attempt, progress.measurement):
                    return
