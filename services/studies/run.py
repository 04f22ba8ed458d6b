"""Running a study from its beginning, or on from where it was, to its end."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from convscout.search_space.architecture import families
from convscout.search_space.errors import StudyInterrupted
from convscout.services.config.changes import extend
from convscout.services.config.home import Home
from convscout.services.config.study_config import StudyConfig
from convscout.services.config.study_ref import StudyRef
from convscout.services.ensembles.ensemble import Ensemble
from convscout.services.events.event_log import event_log_path, record_events
from convscout.services.events.events import Listener, Notice, PhaseStarted, SearchStarted
from convscout.services.executors.data_placement import describe_gpu, share_gpu
from convscout.services.executors.factory import executor_of, inspect_cluster
from convscout.services.executors.machine_speed import describe, machine_speed
from convscout.services.executors.placement import (
    Machine,
    Placement,
    can_unite,
    check_environment,
    device_of,
    place,
)
from convscout.services.ledger.ledger import Ledger
from convscout.services.ledger.provenance import code_version
from convscout.services.search.auto_config import count_full_trials, resolve, training_s, with_sampler
from convscout.services.search.budget import FIXED_S, Budget, FinishCost
from convscout.services.search.controller import Search
from convscout.services.search.extent import extent_for, with_extent
from convscout.services.search.phases import PhasePlan, check_phases
from convscout.services.search.runtime_model import RuntimeModel
from convscout.services.search.setting import SearchSetting
from convscout.services.studies.extra_trainings import train
from convscout.services.studies.finish import Finish, tell_tracking
from convscout.services.studies.outcome import Outcome, load_outcome
from convscout.services.studies.refit import refit, refit_data, refit_trainings
from convscout.services.studies.session import RunContext, load_data, own, same_code, same_data, study_space
from convscout.services.system.crash_notice import last_words
from convscout.services.tracking.mirror import Mirror
from convscout.services.tracking.source import ValidationLabels
from convscout.trials.compute.allocator import kept_memory
from convscout.trials.data.batches import TrainingData
from convscout.trials.data.extent import Available, Extent
from convscout.trials.data.splits import DataSplits
from convscout.trials.training.machine_speed import MachineSpeed

if TYPE_CHECKING:
    from convscout.services.tracking.projector import Projector

MIRROR_PATIENCE_S = 30.0
INTERRUPTED_PATIENCE_S = 3.0  # whoever pressed Ctrl-C waits; the next run brings MLflow up to date


def search(config: StudyConfig, home: Home, listener: Listener, started_s: float) -> Outcome:
    """Run a new study to its end: search, ensemble, test and export.

    ``started_s`` (seconds since 1970) is when the command began, from which its time budget counts.
    Raises ``ConfigError`` where no new study can have the name, ``StudyExistsError`` when it is taken, and
    ``StudyInterrupted`` on Ctrl-C.
    """
    check_phases(config)
    cluster = inspect_cluster(config, home.root)
    check_environment(config, cluster)
    ref = home.study(config.name)
    Ledger.refuse_name(ref, config.data)
    with _begin(ref), record_events(ref, listener, "search") as told:
        if where := home.remember_storage():
            told(Notice(text=where))
        speed = cache(lambda: _speed(config, home, told, cluster))
        splits = load_data(config, home, told, _extent(config, started_s, speed))
        config = _resolve(config, splits, told, cluster, speed())
        Ledger.create(home, config, fingerprint=splits.fingerprint, code=code_version())
        with own(ref, told) as ledger, ledger.clock(started_s):
            budget = _budget(config, started_s, config.time_s)
            return _run(
                RunContext.of(ledger, splits, cluster=cluster, budget=budget, speed=speed(), listener=told)
            )


@contextmanager
def _begin(ref: StudyRef) -> Iterator[None]:
    """Within, a study is begun; where that is refused, nothing of it is left."""
    try:
        yield
    except BaseException:
        if ref.name not in Ledger.names(ref.home):
            event_log_path(ref).unlink(missing_ok=True)
            with suppress(OSError):  # other files are there
                ref.directory.rmdir()
                ref.directory.parent.rmdir()
        raise


def resume(
    ref: StudyRef,
    listener: Listener,
    started_s: float,
    *,
    changes: Mapping[str, Any] | None = None,
    accept_changes: bool = False,
    take_over: bool = False,
) -> Outcome:
    """Go on with a study where it was, in what it has left of its budgets.

    ``changes`` are settings by field name, as ``services/config/changes.py`` understands them; a time that is not added
    to the study's is granted to this command alone. ``accept_changes`` goes on although the images or the code are
    no longer those that the study began with; ``take_over`` takes it from a controller that shows no sign of life.
    Raises ``ConfigError`` for changes that are not possible or not accepted, and ``StudyLockedError`` when
    another controller runs the study.
    """
    Ledger.require(ref)
    with (
        own(ref, listener, take_over=take_over) as ledger,
        record_events(ref, listener, "resume") as told,
    ):
        time_s, lasting = _own_time(ledger, changes or {})
        config = extend(ledger.config, lasting, ledger.used)
        check_phases(config)
        cluster = inspect_cluster(config, ref.home.root)
        same_code(ledger, told, accept_changes)
        splits = same_data(ledger, config, told, accept_changes)
        # all that can be refused comes before the change is kept
        config, _ = with_sampler(config, study_space(config, TrainingData.of(splits)))
        if config != ledger.config:
            ledger.extend(config)
        left_s = time_s or _time_left_s(ledger)
        speed = _speed(config, ref.home, told, cluster)
        with ledger.clock(started_s):
            budget = _budget(ledger.config, started_s, left_s)
            return _run(
                RunContext.of(ledger, splits, cluster=cluster, budget=budget, speed=speed, listener=told)
            )


def _speed(config: StudyConfig, home: Home, listener: Listener, cluster: Machine | None) -> MachineSpeed:
    """How fast trials train here, or on the slowest node of the cluster; it is told."""
    listener(PhaseStarted(phase="machine", detail="how fast it trains"))
    here = cluster.speed if cluster else None
    speed = here or machine_speed(home, device_of(config, cluster).type, time_s=config.time_s)
    listener(Notice(text=describe(speed)))
    return speed


def _extent(
    config: StudyConfig, started_s: float, speed: Callable[[], MachineSpeed]
) -> Callable[[Available], Extent] | None:
    """What decides how much a study reads that began at ``started_s``; None for all, where its time has no limit."""
    if config.time_s is None:
        return None
    ends_s = started_s + config.time_s
    return extent_for(speed, lambda: ends_s - time.time(), config.image_size)


def _runtime(splits: DataSplits, speed: MachineSpeed, placement: Placement) -> RuntimeModel:
    threads = 1 if placement.gpus else placement.threads
    return RuntimeModel.on(
        speed, training=len(splits.train), validation=len(splits.validation), threads=threads
    )


def _resolve(
    config: StudyConfig,
    splits: DataSplits,
    listener: Listener,
    cluster: Machine | None,
    speed: MachineSpeed,
) -> StudyConfig:
    """``config`` with what it leaves open decided, and told."""
    config = with_extent(config, splits)
    data = TrainingData.of(splits)
    placement = place(config, data, cluster)
    decided, num_trials = resolve(
        config,
        data,
        _runtime(splits, speed, placement),
        workers=placement.workers,
        sharing=placement.per_gpu,
        united=can_unite(config, cluster),
    )
    if not config.families:
        count = f"{len(decided.families)} of {len(families.names())}"
        names = ", ".join(decided.families)
        listener(Notice(text=f"families: {names} ({count}; other ones with --families)"))
    decided, told = with_sampler(decided, study_space(decided, data), num_trials)
    if told:
        listener(Notice(text=told))
    return decided


def _own_time(ledger: Ledger, changes: Mapping[str, Any]) -> tuple[float | None, dict[str, Any]]:
    """Seconds that ``changes`` grant to this command alone, and the changes that last."""
    lasting = dict(changes)
    time = lasting.get("time_s")
    if time is None or (isinstance(time, str) and time.startswith("+")):
        return None, lasting
    del lasting["time_s"]
    seconds = extend(ledger.config, {"time_s": time}).time_s
    return (None if seconds == ledger.config.time_s else seconds), lasting


def _time_left_s(ledger: Ledger) -> float | None:
    """What the study has left of its time, but enough to finish if it never has."""
    if ledger.config.time_s is None:
        return None
    needed_s = 0.0 if load_outcome(ledger) else 2 * FIXED_S
    return max(ledger.config.time_s - ledger.spent_s, needed_s)


def _budget(config: StudyConfig, started_s: float, time_s: float | None) -> Budget:
    return Budget(started_s=started_s, time_s=math.inf if time_s is None else time_s, trials=config.trials)


def _run(run: RunContext) -> Outcome:
    """Search until the budget is spent, then select, test and export; MLflow follows in its own thread."""
    ledger, listener = run.ledger, run.listener
    projection = Mirror(partial(_projector, ledger, ValidationLabels.of(run.splits)))
    with run.interrupts as interrupts, last_words(*_words(ledger)):
        try:
            projection.start()
            search = _train(run, projection)
            if search.paused:
                raise StudyInterrupted(
                    f"study {ledger.name!r} is paused; every trial has ended its epoch",
                    next_command=f"convscout resume {ledger.name}",
                    paused=True,
                )
            run.stop_if_asked()
            projection.touch_plots()  # drawn while the ensemble is made
            cost = replace(search.finish_cost, validation=0)  # they have been asked when it is refitted
            refit = partial(_refit, run, cost) if ledger.config.refit else None
            with kept_memory():
                outcome = Finish(ledger, run.splits, listener).run(search.affordable_members, refit)
            tell_tracking(ledger, outcome)
        finally:
            patience_s = INTERRUPTED_PATIENCE_S if interrupts.requested else MIRROR_PATIENCE_S
            _close(ledger.name, projection, listener, patience_s)
    _register(ledger, outcome, run.splits, listener)
    return outcome


def _projector(ledger: Ledger, validation: ValidationLabels) -> Projector:
    # MLflow takes seconds to import: the mirror's thread does it while the first trials begin
    from convscout.services.tracking import projector, store

    return projector.Projector(ledger, store.TrackingStore.at(ledger.home), validation)


def _words(ledger: Ledger) -> tuple[str, str]:
    """What to say of this process if it is killed, and the next command then."""
    home = shlex.quote(str(ledger.home.root))
    return (
        f"the process that ran study {ledger.name!r} was killed, or Ray ended it; every finished epoch is kept",
        f"convscout resume {ledger.name} --home {home}",
    )


def _train(run: RunContext, projection: Mirror) -> Search:
    """Train until the budget is spent; returns the search, which has ended or is paused."""
    ledger, splits, listener = run.ledger, run.splits, run.listener
    config, placement = ledger.config, _placement(run)
    if placement.reason:
        listener(Notice(text=placement.reason))
    data = share_gpu(run.data, placement, run.cluster)
    if where := describe_gpu(data):
        listener(Notice(text=where))
    executor = executor_of(config, data, placement, ledger.home)
    runtime = _runtime(splits, run.speed, placement)
    setting = SearchSetting(
        space=run.space,
        budget=run.budget,
        fingerprint=data.fingerprint,
        num_training=len(splits.train),
        num_validation=len(splits.validation),
        num_test=splits.num_test,
        gpu_share=placement.gpu_share,
        device=placement.device,
        runtime=runtime,
        workers=placement.workers,
        threads=placement.threads,
        speed=run.speed,
        plan=_phase_plan(run, placement.workers, runtime),
    )
    search = Search(
        ledger,
        setting,
        listener=listener,
        touch=projection.touch,
        interrupted=lambda: run.interrupts.requested or ledger.lost,
    )
    search.prepare()
    listener(
        SearchStarted(
            study=config.name,
            data=config.data,
            workers=executor.workers,
            executor=executor.name,
            trials=config.trials,
            deadline_s=run.budget.left_s if math.isfinite(run.budget.left_s) else None,
            finished=sum(record.state.scored for record in ledger.trials()),
        )
    )
    if search.has_work:
        executor.run(search)
    search.close()
    return search


def _placement(run: RunContext) -> Placement:
    """Where trials train in the time that is left."""
    config, placement = run.ledger.config, run.placement
    if not can_unite(config, run.cluster):
        return placement
    runtime = _runtime(run.splits, run.speed, placement)
    left_s = run.budget.left_s
    trials = count_full_trials(config, run.data, runtime, workers=placement.workers, left_s=left_s)
    if config.trials is not None:
        trials = min(trials, config.trials - sum(record.trained for record in run.ledger.trials()))
    return placement.united(trials)


def _phase_plan(run: RunContext, workers: int, runtime: RuntimeModel) -> PhasePlan:
    """How the study's whole time is shared among scouts and contenders, what earlier commands took included."""
    config, ledger = run.ledger.config, run.ledger
    # what this command has taken so far counts as spent, too
    time_s = ledger.spent_s + run.budget.left_s
    return PhasePlan.of(
        config,
        num_images=len(run.splits.train),
        full_trials=count_full_trials(config, run.data, runtime, workers=workers, left_s=time_s),
        training_s=workers * training_s(time_s),
        begun=any(record.is_scout for record in ledger.trials()),
    )


def _refit(run: RunContext, cost: FinishCost, ensemble: Ensemble) -> Ensemble:
    """The ``ensemble`` of members that were trained once more, as far as there is time beside ``cost``."""
    ledger, listener, seeds = run.ledger, run.listener, run.ledger.config.refit_seeds
    listener(PhaseStarted(phase="refit", detail=f"{len(ensemble.members)} members"))
    plan = refit_trainings(ledger, ensemble, run.data, seeds)
    train(
        ledger,
        plan,
        refit_data(run.data),
        placement=run.placement,
        cluster=run.cluster,
        description="refitting, epochs",
        left_s=lambda: run.budget.left_s - cost.reserve_s(len(plan), run.budget.time_s),
        interrupted=lambda: run.interrupts.requested,
        listener=listener,
    )
    run.stop_if_asked()
    if missing := sum(not training.done for training in plan):
        listener(Notice(text=f"refitting: {missing} of {len(plan)} networks were not finished in the time"))
    return refit(ledger, ensemble, seeds)


def _close(name: str, projection: Mirror, listener: Listener, patience_s: float) -> None:
    listener(PhaseStarted(phase="tracking", detail="bringing MLflow up to date"))
    pending = projection.close(patience_s)
    if pending:
        why = projection.problem or "it is slow"
        listener(Notice(text=f"MLflow lacks {pending} trial(s) ({why}); mend it with: convscout sync {name}"))


def _register(ledger: Ledger, outcome: Outcome, splits: DataSplits, listener: Listener) -> None:
    """Make the export MLflow's champion. The study is complete without it, so a failure is only told."""
    try:
        from convscout.services.tracking import champion, store  # MLflow takes seconds to import

        accuracy, example = outcome.score("ensemble", "validation"), splits.validation.images[:1]
        target = store.TrackingStore.at(ledger.home)
        champion.register_champion(ledger, target, outcome.export, example, accuracy)
    except Exception as error:  # a tracking server can fail in any way
        listener(Notice(text=f"the ensemble is not registered in MLflow: {type(error).__name__}: {error}"))
