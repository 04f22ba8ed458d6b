"""Trains trials in this process: no Ray, nothing to start, easy to debug."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress

import torch

from convscout.search_space.errors import StudyInterrupted
from convscout.services.executors.base import Controller, goes_on
from convscout.trials.compute.threads import computing_threads
from convscout.trials.data.batches import TrainingData
from convscout.trials.training.run import Dispatch, Progress, TrialRun

POLL_S = 0.05  # how often the controller is asked whether to stop while other threads train


class InProcessExecutor:
    """``workers`` trials at a time, each computing with ``threads`` threads of this process.

    One worker trains in the thread that calls ``run``. More of them train in a thread each, on ``gpus`` GPUs
    in turn and on streams of their own, so that the kernels of small networks run side by side. Only the
    thread that calls ``run`` talks to the controller.

    More than one worker is for GPUs, without ``--deterministic``: torch's generators are one for all threads,
    so dropout would draw numbers in an order that depends on the clock, and a resumed trial would not end in
    the same bits. ``services/executors/placement.py`` sees to it. What breaks a GPU's context breaks it for all trials
    of the process; Ray's workers have one each.
    """

    name = "in-process"

    def __init__(self, data: TrainingData, *, threads: int, workers: int = 1, gpus: int = 0) -> None:
        self.workers = workers
        self._data = data
        self._threads = threads
        self._gpus = gpus

    def run(self, controller: Controller) -> None:
        with computing_threads(self._threads):
            if self.workers == 1:
                self._one_after_another(controller)
            else:
                self._side_by_side(controller)

    def _one_after_another(self, controller: Controller) -> None:
        with suppress(StudyInterrupted):
            while not controller.should_stop() and (dispatch := controller.next_dispatch()):
                with closing(TrialRun(dispatch, self._data, should_stop=controller.should_stop)) as run:
                    while goes_on(controller, dispatch.config, run.step()):
                        pass

    def _side_by_side(self, controller: Controller) -> None:
        stop = threading.Event()
        workers = [
            _Worker(self._data, stop.is_set, index % self._gpus if self._gpus else None)
            for index in range(self.workers)
        ]
        try:
            _keep_busy(workers, controller)
        finally:
            stop.set()
            for worker in workers:
                worker.close()


class _Worker:
    """A thread that trains one trial at a time, an epoch whenever it is told to."""

    def __init__(self, data: TrainingData, should_stop: Callable[[], bool], gpu: int | None) -> None:
        self._data = data
        self._should_stop = should_stop
        self._thread = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="trial", initializer=take_stream, initargs=(gpu,)
        )
        self._trial: tuple[Dispatch, TrialRun] | None = None
        self.step: Future[Progress] | None = None
        """The epoch under way; None when the worker is free."""

    def begin(self, dispatch: Dispatch) -> None:
        """Train the first epoch of ``dispatch``."""
        run = TrialRun(dispatch, self._data, should_stop=self._should_stop)
        self._trial = dispatch, run
        self.step = self._thread.submit(run.step)

    def report(self, controller: Controller) -> None:
        """Tell what the epoch under way came to, and train the next if there is to be one."""
        assert self._trial and self.step
        dispatch, run = self._trial
        if goes_on(controller, dispatch.config, self.step.result()):
            self.step = self._thread.submit(run.step)
        else:
            self.step = None
            self._thread.submit(run.close)

    def close(self) -> None:
        """End the thread, which was asked to stop, with everything on disk."""
        if self._trial:
            self._thread.submit(self._trial[1].close)
        self._thread.shutdown(wait=True)


def _keep_busy(workers: Sequence[_Worker], controller: Controller) -> None:
    """Until there is nothing to train or the controller says to stop."""
    while not controller.should_stop():
        for worker in workers:
            if not worker.step and (dispatch := controller.next_dispatch()):
                worker.begin(dispatch)
        steps = [worker.step for worker in workers if worker.step]
        if not steps:
            return
        wait(steps, timeout=POLL_S, return_when=FIRST_COMPLETED)
        for worker in workers:
            if worker.step and worker.step.done():
                worker.report(controller)


def take_stream(gpu: int | None) -> None:
    """Let the calling thread launch its kernels on a stream of its own."""
    if gpu is not None:
        torch.cuda.set_device(gpu)
        torch.cuda.set_stream(torch.cuda.Stream(gpu))  # type: ignore[no-untyped-call]
