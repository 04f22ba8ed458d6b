"""Trains trials side by side through Ray Tune, here or on a cluster. The only module that imports ray.

Ray owns no state here: the ledger proposes (through ``LedgerSearcher``), the ledger's pruner stops
(through ``LedgerScheduler``), and trials write their own files. ``Tuner.restore`` is never called, so
whatever happens to Ray, a fresh Tuner goes on from the ledger.

Workers never say ``done``, because Tune hides such results from its scheduler: a trial says in its
last result how it ended, and the scheduler answers STOP.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import ray
import torch
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from convscout.services.executors.base import Controller, goes_on
from convscout.services.executors.cluster import check_nodes, look, refusal, slowest, weakest, witness
from convscout.services.executors.placement import Machine
from convscout.services.system.gc_pause import pause_gc
from convscout.trials.config import Measurement, TrialConfig, TrialResult
from convscout.trials.data.batches import TrainingData
from convscout.trials.training.run import Dispatch, TrialRun

T = TypeVar("T")

_SLACK_BYTES = 256 * 2**20
_LOOK_S = 120.0  # for a node to start a process that looks around
_NOISY = (
    "ray.tune",
    "ray._private.authentication",
)  # notices on files and tokens that are no concern of a person


class RayExecutor:
    """``workers`` processes of ``threads`` threads each, on this machine or on the cluster at ``address``.

    Each takes ``gpu_share`` of a GPU; this machine gives ``gpus`` of them. Tune's own files, which nobody reads
    again, lie under ``scratch``; the nodes of a cluster must share it.
    """

    name = "ray"

    def __init__(
        self,
        data: TrainingData,
        *,
        workers: int,
        threads: int,
        gpus: int = 0,
        gpu_share: float = 0.0,
        address: str | None = None,
        scratch: Path | None = None,
    ) -> None:
        self.workers = workers
        self._data = data
        self._threads = threads
        self._gpus = gpus
        self._gpu_share = gpu_share
        self._address = address
        self._scratch = scratch

    def run(self, controller: Controller) -> None:
        guarded = _Guarded(controller)
        with (
            self._connect(),
            tempfile.TemporaryDirectory(prefix="convscout-ray-", dir=self._scratch) as scratch,
        ):
            self._tuner(guarded, scratch).fit()
        if guarded.error:
            raise guarded.error

    def _connect(self) -> AbstractContextManager[None]:
        if self._address is not None:
            return _connect_to(self._address)
        size = self._data.train.memory_bytes + self._data.validation.memory_bytes
        return _connect(
            address="local",  # anything else would join the cluster that RAY_ADDRESS or an earlier `ray start` names
            num_cpus=self.workers,
            num_gpus=self._gpus,
            include_dashboard=False,
            object_store_memory=size + _SLACK_BYTES,
        )

    def _tuner(self, controller: Controller, scratch: str) -> tune.Tuner:
        trainable = tune.with_parameters(TrialTrainable, data=self._data, threads=self._threads)
        resources = {"cpu": 1.0, "gpu": self._gpu_share}
        return tune.Tuner(
            tune.with_resources(trainable, resources),
            tune_config=tune.TuneConfig(
                search_alg=LedgerSearcher(controller),
                scheduler=LedgerScheduler(controller),
                num_samples=-1,
                max_concurrent_trials=self.workers,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,  # the default spells out every knob
            ),
            run_config=tune.RunConfig(
                name="study",
                storage_path=scratch,
                stop=ControllerStopper(controller),
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
                failure_config=tune.FailureConfig(max_failures=0),
            ),
        )


def survey(address: str, home: Path) -> Machine:
    """What the nodes of the cluster at ``address`` have together, and what the least of their GPUs has free.

    Raises ``ConfigError`` for one that does not answer, has other versions, lies beyond this machine and asks for no
    token, or whose nodes do not share ``home``.
    """
    with _connect_to(address), witness(home) as directory:
        nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}  # type: ignore[no-untyped-call]
        try:
            answers = ray.get([_look(directory, node) for node in nodes.values()], timeout=_LOOK_S)
        except ray.exceptions.RayError as error:
            raise refusal(address, error) from error
        check_nodes(address, directory, dict(zip(nodes, answers, strict=True)))
        return Machine(
            cores=sum(int(node["Resources"].get("CPU", 0)) for node in nodes.values()),
            gpus=sum(int(node["Resources"].get("GPU", 0)) for node in nodes.values()),
            free_bytes=weakest(answers),
            speed=slowest(answers),
        )


def _look(directory: Path, node: Mapping[str, Any]) -> Any:
    """A reference to what ``node`` tells of itself, which it does however busy it is."""
    there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    # a process that asks for no GPU would not see those there are
    seeing = {"env_vars": {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}}
    task = ray.remote(look).options(num_cpus=0, scheduling_strategy=there, runtime_env=seeing)
    return task.remote(directory, node["NodeID"], bool(node["Resources"].get("GPU")))


@contextmanager
def _connect(**options: Any) -> Iterator[None]:
    """Within, Ray can be used. On leaving, what was started for it ends; a cluster that was only joined goes on."""
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with _own_signals():
            ray.init(logging_level=logging.ERROR, log_to_driver=False, configure_logging=False, **options)
        yield
    finally:
        # Ray ends, without a word, a process in which a thread frees a reference to one of its objects once its client
        # has ended and before Python has learnt of it; the collector frees them in whichever thread it runs.
        with pause_gc():
            ray.shutdown()


@contextmanager
def _connect_to(address: str) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            with _mute():
                stack.enter_context(_connect(address=address))
        except Exception as error:  # Ray has no type of its own for most of what can be wrong here
            raise refusal(address, error) from error
        yield


@contextmanager
def _mute() -> Iterator[None]:
    """Let nothing onto the standard error, where Ray's C++ library repeats itself until it gives up."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the answer to SIGTERM, which Ray replaces by one that ends the process at once."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


class TrialTrainable(tune.Trainable):
    """A worker: trains one trial after another on data that it holds once."""

    def setup(self, config: dict[str, Any], data: TrainingData, threads: int) -> None:  # type: ignore[override]
        torch.set_num_threads(threads)
        self._data = data
        self._run = TrialRun(_from_message(config["dispatch"]), data)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._run.close()
        self._run = TrialRun(_from_message(new_config["dispatch"]), self._data)
        return True

    def cleanup(self) -> None:
        self._run.close()

    def step(self) -> dict[str, Any]:
        return {"progress": self._run.step()}


class _Guarded:
    """The controller, but its first error ends the experiment and is kept: Tune would turn it into text."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self.error: Exception | None = None

    @property
    def finished(self) -> bool:
        return self.error is not None or self._controller.finished

    def should_stop(self) -> bool:
        return self.error is not None or self._controller.should_stop()

    def next_dispatch(self) -> Dispatch | None:
        return self._call(self._controller.next_dispatch, None)

    def on_estimate(self, number: int, attempt: int, epoch_s: float) -> bool:
        return self._call(lambda: self._controller.on_estimate(number, attempt, epoch_s), False)

    def on_epoch(self, number: int, attempt: int, measurement: Measurement) -> bool:
        return self._call(lambda: self._controller.on_epoch(number, attempt, measurement), False)

    def on_end(self, result: TrialResult) -> None:
        self._call(lambda: self._controller.on_end(result), None)

    def on_lost(self, number: int, attempt: int, reason: str) -> None:
        self._call(lambda: self._controller.on_lost(number, attempt, reason), None)

    def _call(self, method: Callable[[], T], otherwise: T) -> T:
        if self.error is None:
            try:
                return method()
            except Exception as error:
                self.error = error
        return otherwise


class _Bridge:
    """What connects Tune to the controller. Tune pickles its parts to restore them, which is never done here."""

    _controller: Controller

    def __getstate__(self) -> dict[str, Any]:
        return {}


class LedgerSearcher(_Bridge, Searcher):
    """Asks the controller for the next trial whenever Tune has a free worker."""

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self._controller = controller

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # FINISHED is text
        if self._controller.should_stop():
            return Searcher.FINISHED
        if dispatch := self._controller.next_dispatch():
            return {"dispatch": _to_message(dispatch)}
        return Searcher.FINISHED if self._controller.finished else None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: the scheduler has told the controller already."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger holds all state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a new Tuner is started instead."""


class LedgerScheduler(_Bridge, FIFOScheduler):
    """Tells the controller every result, and stops the trial when the controller says so."""

    def __init__(self, controller: Controller) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._controller = controller

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        config = _from_message(trial.config["dispatch"]).config
        wanted = goes_on(self._controller, config, result["progress"])
        return TrialScheduler.CONTINUE if wanted else TrialScheduler.STOP

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        config = _from_message(trial.config["dispatch"]).config
        self._controller.on_lost(config.number, config.attempt, "its worker process died")


class ControllerStopper(_Bridge, Stopper):
    """Ends the experiment when the controller says to stop."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._controller.should_stop()


def _to_message(dispatch: Dispatch) -> str:
    """One text, because Tune copies, flattens, hashes and prints whatever structure it is sent."""
    facts = {field.name: getattr(dispatch, field.name) for field in fields(dispatch)}
    return json.dumps({**facts, "config": dispatch.config.to_dict()})


def _from_message(message: str) -> Dispatch:
    facts = json.loads(message)
    return Dispatch(**{**facts, "config": TrialConfig.from_dict(facts["config"])})
