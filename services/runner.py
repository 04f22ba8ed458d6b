"""What a person can do with a study: search, resume, stop, export. The CLI and ``import convscout`` call this."""

from __future__ import annotations

import math
import os
import signal
import time
from pathlib import Path

from search_space.architecture import families
from search_space.errors import ConfigError, ConvscoutError, Problem, StudyInterrupted
from search_space.space import SearchSpace
from services.budget import FIXED_S, Budget
from services.config import StudyConfig
from services.data_placement import shared_out, told, told_of_gpu
from services.defaults import settled
from services.events import Listener, Loading, Notice, PhaseStarted, SearchStarted
from services.executors.base import Executor
from services.executors.in_process import InProcessExecutor
from services.finish import Finish, Outcome, stored_outcome, tell_tracking
from services.home import Home
from services.interrupts import Interrupts
from services.lease import holder, lease
from services.placement import Placement, num_cores, place
from services.search import Search, Setting
from services.study import Ledger
from services.tracking import mirror
from services.tracking.champion import register_champion
from services.tracking.mirror import Mirror
from services.tracking.source import ValidationLabels
from services.tracking.store import TrackingStore
from trials.batches import TrainingData
from trials.precision import choose_device
from trials.sources import load
from trials.splits import DataSplits

STOP_PATIENCE_S = 60.0
MIRROR_PATIENCE_S = 30.0
INTERRUPTED_PATIENCE_S = 3.0  # whoever pressed Ctrl-C waits; the next run brings MLflow up to date


def search(config: StudyConfig, home: Home, listener: Listener, started_s: float) -> Outcome:
    """Run a new study to its end: search, ensemble, test and export.

    ``started_s`` (seconds since 1970) is when the command began, from which its time budget counts.
    Raises ``StudyExistsError`` when the name is taken and ``StudyInterrupted`` on Ctrl-C.
    """
    config.check_environment()
    with lease(home.study(config.name)):
        Ledger.refuse_existing(home, config.name)
        splits = load_data(config, home, listener)
        config = _settled(config, splits, listener)
        ledger = Ledger.create(home, config, fingerprint=splits.fingerprint)
        with ledger.clock(started_s):
            return _run(ledger, splits, listener, _budget(config, started_s, config.time_s))


def resume(
    name: str,
    home: Home,
    listener: Listener,
    started_s: float,
    *,
    trials: int | None = None,
    time_s: float | None = None,
) -> Outcome:
    """Go on with a study where it was, in what it has left of its time.

    ``trials`` sets how many are trained in all; ``time_s`` grants that much time to this command.
    Raises ``ConfigError`` when the data is no longer what the study began with.
    """
    Ledger.require(home, name)
    with lease(home.study(name)):
        ledger = Ledger.open(home, name)
        if trials is not None:
            ledger.set_trials(trials)
        splits = _same_data(ledger, listener)
        left_s = time_s or _time_left_s(ledger)
        with ledger.clock(started_s):
            return _run(ledger, splits, listener, _budget(ledger.config, started_s, left_s))


def stop(home: Home, name: str) -> bool:
    """Ask the process that runs the study to stop, and wait until it has; False when none runs it.

    Raises ``ConvscoutError`` when it does not stop in time.
    """
    Ledger.require(home, name)
    found = holder(home.study(name))
    if found is None:
        return False
    os.kill(found.pid, signal.SIGTERM)
    patience = time.monotonic() + STOP_PATIENCE_S
    while holder(home.study(name)) is not None:
        if time.monotonic() > patience:
            raise ConvscoutError(f"process {found.pid} did not stop within {STOP_PATIENCE_S:.0f} s")
        time.sleep(0.1)
    return True


def export(
    home: Home, name: str, directory: Path | None = None, listener: Listener = lambda event: None
) -> Path:
    """Write the study's ensemble to ``directory`` (default: its own), verified; returns where it lies."""
    ledger = Ledger.open(home, name)
    return Finish(ledger, _same_data(ledger, listener), listener).export(directory)


def sync(home: Home, name: str, listener: Listener) -> int:
    """Bring MLflow up to date with a study that is not running; returns how many trials it lacked in part."""
    Ledger.require(home, name)
    with lease(home.study(name)):
        ledger = Ledger.open(home, name)
        splits = _same_data(ledger, listener)
        return mirror.sync(ledger, TrackingStore.at(home), _validation_labels(splits))


def load_data(config: StudyConfig, home: Home, listener: Listener) -> DataSplits:
    """The study's data, from its cache where it was decoded before."""
    listener(PhaseStarted(phase="data", detail=config.data))

    def progress(description: str, done: int, total: int) -> None:
        listener(Loading(description=description, done=done, total=total))

    splits = load(config.data_request(home), progress)
    listener(Notice(text=told(splits)))
    return splits


def _settled(config: StudyConfig, splits: DataSplits, listener: Listener) -> StudyConfig:
    """``config`` with what it leaves open decided, and told."""
    data = TrainingData.of(splits)
    placement, device = place(config, data), choose_device(config.device).type
    decided = settled(config, data, workers=placement.workers, device=device, sharing=placement.per_gpu)
    if not config.families:
        count = f"{len(decided.families)} of {len(families.names())}"
        names = ", ".join(decided.families)
        listener(Notice(text=f"families: {names} ({count}; other ones with --families)"))
    return decided


def _same_data(ledger: Ledger, listener: Listener) -> DataSplits:
    splits = load_data(ledger.config, ledger.home, listener)
    if splits.fingerprint != ledger.fingerprint:
        rule = (
            f"must still be what study {ledger.name!r} began with (fingerprint {ledger.fingerprint[:12]}, "
            f"now {splits.fingerprint[:12]}); restore the images, or begin a new study with another --study"
        )
        raise ConfigError([Problem(field="data", value=ledger.config.data, rule=rule)])
    return splits


def _time_left_s(ledger: Ledger) -> float | None:
    """What the study has left of its time, but enough to finish if it never has."""
    if ledger.config.time_s is None:
        return None
    needed_s = 0.0 if stored_outcome(ledger) else 2 * FIXED_S
    return max(ledger.config.time_s - ledger.spent_s, needed_s)


def _budget(config: StudyConfig, started_s: float, time_s: float | None) -> Budget:
    return Budget(started_s=started_s, time_s=math.inf if time_s is None else time_s, trials=config.trials)


def _run(ledger: Ledger, splits: DataSplits, listener: Listener, budget: Budget) -> Outcome:
    """Search until the budget is spent, then select, test and export; MLflow follows in its own thread."""
    store = TrackingStore.at(ledger.home)
    projection = Mirror(ledger, store, _validation_labels(splits))
    with Interrupts() as interrupts:
        try:
            projection.start()
            max_members = _train(ledger, splits, budget, listener, projection, interrupts)
            if interrupts.requested:
                raise StudyInterrupted(
                    f"study {ledger.name!r} was interrupted; every finished epoch is kept",
                    next_command=f"convscout resume {ledger.name}",
                )
            outcome = Finish(ledger, splits, listener).run(max_members)
            tell_tracking(ledger, outcome)
        finally:
            patience_s = INTERRUPTED_PATIENCE_S if interrupts.requested else MIRROR_PATIENCE_S
            _close(ledger.name, projection, listener, patience_s)
    _register(ledger, store, outcome, splits, listener)
    return outcome


def _train(
    ledger: Ledger,
    splits: DataSplits,
    budget: Budget,
    listener: Listener,
    projection: Mirror,
    interrupts: Interrupts,
) -> int:
    """Train until the budget is spent; returns how many members an ensemble may have."""
    config, data = ledger.config, TrainingData.of(splits)
    placement = place(config, data)
    if placement.reason:
        listener(Notice(text=placement.reason))
    data = shared_out(data, placement)
    if where := told_of_gpu(data):
        listener(Notice(text=where))
    executor = _executor(config, data, placement)
    setting = Setting(
        space=study_space(config, data),
        limits=config.limits,
        budget=budget,
        fingerprint=data.fingerprint,
        num_test=splits.num_test,
        device=choose_device(config.device).type,
    )
    search = Search(
        ledger, setting, listener=listener, touch=projection.touch, interrupted=lambda: interrupts.requested
    )
    search.prepare()
    listener(
        SearchStarted(
            study=config.name,
            data=config.data,
            workers=executor.workers,
            executor=executor.name,
            trials=config.trials,
            deadline_s=budget.left_s if math.isfinite(budget.left_s) else None,
            finished=sum(record.state.judged for record in ledger.trials()),
        )
    )
    if search.has_work:
        executor.run(search)
    search.close()
    return search.affordable_members


def _validation_labels(splits: DataSplits) -> ValidationLabels:
    return ValidationLabels(labels=splits.validation.labels, class_names=splits.class_names)


def _close(name: str, projection: Mirror, listener: Listener, patience_s: float) -> None:
    listener(PhaseStarted(phase="tracking", detail="bringing MLflow up to date"))
    pending = projection.close(patience_s)
    if pending:
        why = projection.problem or "it is slow"
        listener(Notice(text=f"MLflow lacks {pending} trial(s) ({why}); mend it with: convscout sync {name}"))


def _register(
    ledger: Ledger, store: TrackingStore, outcome: Outcome, splits: DataSplits, listener: Listener
) -> None:
    """Make the export MLflow's champion. The study is complete without it, so a failure is only told."""
    try:
        register_champion(ledger, store, outcome.export, splits.validation.images[:1])
    except Exception as error:  # a tracking server can fail in any way
        listener(Notice(text=f"the ensemble is not registered in MLflow: {type(error).__name__}: {error}"))


def study_space(config: StudyConfig, data: TrainingData) -> SearchSpace:
    """What the study may sample."""
    assert config.epochs is not None, "decided when the study began"
    return SearchSpace(
        image=data.image,
        families=config.families,
        epochs=config.epochs,
        precision=config.precision,
        overrides=config.space,
    )


def _executor(config: StudyConfig, data: TrainingData, placement: Placement) -> Executor:
    workers, gpus = placement.workers, placement.gpus
    if config.executor == "in-process":
        threads = config.threads or max(1, num_cores() // workers)
        return InProcessExecutor(data, threads=threads, workers=workers, gpus=gpus)
    from services.executors.ray_tune import RayExecutor  # importing ray takes seconds

    return RayExecutor(
        data, workers=workers, threads=config.threads or 1, gpus=gpus, gpu_share=placement.gpu_share
    )
