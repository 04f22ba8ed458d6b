"""What a person can do with a study: search, resume, stop, export. The CLI and ``import convscout`` call this."""

from __future__ import annotations

import math
import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import OperationalError

from search_space.architecture import families
from search_space.errors import ConfigError, ConvscoutError, Problem, StudyInterrupted
from search_space.space import SearchSpace
from services.budget import FIXED_S, Budget, FinishCost
from services.config import StudyConfig
from services.data_placement import shared_out, told, told_of_gpu
from services.defaults import settled, with_sampler
from services.ensembles.ensemble import Ensemble
from services.ensembles.front import COSTS, EnsembleCost, FrontPoint, front
from services.ensembles.selection import select
from services.events import Listener, Loading, Notice, PhaseStarted, SearchStarted
from services.executors.choice import executor_of
from services.executors.cluster import surveyed
from services.exporting import refuse_left_out
from services.extension import extended
from services.extent import extent_for, with_extent
from services.finish import Finish, Outcome, Refit, stored_outcome, tell_tracking
from services.home import Home
from services.interrupts import Interrupts
from services.journal import journal_file, journalled
from services.last_words import last_words
from services.lease import holder, lease, refuse_elsewhere
from services.machine_speed import describe, machine_speed
from services.pace import Pace
from services.placement import Machine, device_of, place
from services.provenance import CODE_NOTE, code_version, difference
from services.refitting import refit_data, refit_trainings, refitted
from services.retrying import cause
from services.search import Search
from services.search_setting import Setting
from services.study import Ledger
from services.tracking.mirror import Mirror
from services.tracking.source import ValidationLabels
from services.trainings import train
from trials.batches import TrainingData
from trials.extent import Available, Extent
from trials.machine_speed import MachineSpeed
from trials.run import NO_ROOM
from trials.sources import load
from trials.splits import DataSplits

if TYPE_CHECKING:
    from services.tracking.projector import Projector

STOP_PATIENCE_S = 60.0
MIRROR_PATIENCE_S = 30.0
INTERRUPTED_PATIENCE_S = 3.0  # whoever pressed Ctrl-C waits; the next run brings MLflow up to date


def search(config: StudyConfig, home: Home, listener: Listener, started_s: float) -> Outcome:
    """Run a new study to its end: search, ensemble, test and export.

    ``started_s`` (seconds since 1970) is when the command began, from which its time budget counts.
    Raises ``StudyExistsError`` when the name is taken and ``StudyInterrupted`` on Ctrl-C.
    """
    cluster = surveyed(config, home.root)
    config.check_environment(cluster)
    Ledger.refuse_existing(home, config.name)
    with _begun(home, config.name), journalled(home, config.name, listener, "search") as told:
        if where := home.remember_storage():
            told(Notice(text=where))
        speed = cache(lambda: _speed(config, home, told, cluster))
        splits = load_data(config, home, told, _extent(config, started_s, speed))
        config = _settled(config, splits, told, cluster, speed())
        Ledger.create(home, config, fingerprint=splits.fingerprint, code=code_version())
        with owned(home, config.name, told) as ledger, ledger.clock(started_s):
            return _run(ledger, splits, told, _budget(config, started_s, config.time_s), cluster, speed())


@contextmanager
def _begun(home: Home, name: str) -> Iterator[None]:
    """Within, a study is begun; where that is refused, nothing of it is left."""
    try:
        yield
    except BaseException:
        if name not in Ledger.names(home):
            journal_file(home, name).unlink(missing_ok=True)
            with suppress(OSError):  # other files are there
                home.study(name).rmdir()
                home.study(name).parent.rmdir()
        raise


def resume(
    name: str,
    home: Home,
    listener: Listener,
    started_s: float,
    *,
    changes: Mapping[str, Any] | None = None,
    accept_changes: bool = False,
    take_over: bool = False,
) -> Outcome:
    """Go on with a study where it was, in what it has left of its budgets.

    ``changes`` are settings by field name, as ``services/extension.py`` understands them; a time that is not added
    to the study's is granted to this command alone. ``accept_changes`` goes on although the images or the code are
    no longer those that the study began with; ``take_over`` takes it from a controller that shows no sign of life.
    Raises ``ConfigError`` for changes that are not possible or not accepted, and ``StudyLockedError`` when
    another controller runs the study.
    """
    Ledger.require(home, name)
    with (
        owned(home, name, listener, take_over=take_over) as ledger,
        journalled(home, name, listener, "resume") as told,
    ):
        time_s, lasting = _own_time(ledger, changes or {})
        config = extended(ledger.config, lasting)
        cluster = surveyed(config, home.root)
        _same_code(ledger, told, accept_changes)
        splits = same_data(ledger, config, told, accept_changes)
        # all that can be refused comes before the change is kept
        config, _ = with_sampler(config, study_space(config, TrainingData.of(splits)))
        if config != ledger.config:
            ledger.extend(config)
        left_s = time_s or _time_left_s(ledger)
        speed = _speed(config, home, told, cluster)
        with ledger.clock(started_s):
            return _run(ledger, splits, told, _budget(ledger.config, started_s, left_s), cluster, speed)


def stop(home: Home, name: str) -> bool:
    """Ask the process that runs the study to stop, and wait until it has; False when none runs it.

    Raises ``ConvscoutError`` when it does not stop in time.
    """
    Ledger.require(home, name)
    found = holder(home, name)
    if found is None:
        return False
    refuse_elsewhere(found, name)
    os.kill(found.pid, signal.SIGTERM)
    patience = time.monotonic() + STOP_PATIENCE_S
    while holder(home, name) == found:
        if time.monotonic() > patience:
            raise ConvscoutError(f"process {found.pid} did not stop within {STOP_PATIENCE_S:.0f} s")
        time.sleep(0.1)
    return True


def export(
    home: Home,
    name: str,
    directory: Path | None = None,
    listener: Listener = lambda event: None,
    formats: Sequence[str] = (),
) -> Path:
    """Write the study's ensemble to ``directory`` (default: its own), verified; returns where it lies.

    ``formats`` are those to write; to its own directory the study's come with them. Raises ``ConfigError`` for one that
    there is not, and ``ConvscoutError``, once all others are in place, when one of them had to be left out.
    """
    config, finish = _finish(home, name, {"formats": list(formats)} if formats else {}, listener)
    target = finish.export(directory, config.formats if formats else ())
    refuse_left_out(target, config.formats if formats else ())
    return target


def ensemble(
    home: Home,
    name: str,
    changes: Mapping[str, Any],
    to: Path | None,
    listener: Listener,
    formats: Sequence[str] = (),
) -> Ensemble:
    """Another ensemble of the study, under its settings with ``changes``; exported to the directory ``to``, if any.

    ``formats`` are those to export, the study's unless given. Raises ``ConfigError``, and ``UserError`` when no trial
    is within the limits.
    """
    config, finish = _finish(home, name, changes, listener)
    found = select(finish.library(config.ensemble_limits), config.ensemble_strategy)
    if to:
        finish.write(found, to, formats)
        refuse_left_out(to, formats)
    return found


def ensemble_front(
    home: Home, name: str, changes: Mapping[str, Any], cost: str, listener: Listener
) -> tuple[list[FrontPoint], Path, EnsembleCost]:
    """The best ensembles at each ``cost``, and where they were drawn; raises as ``ensemble`` does."""
    from services.plotting.ensemble_front import write_front  # matplotlib, which nothing else here needs

    config, finish = _finish(home, name, changes, listener)
    library = finish.library(config.ensemble_limits, timed=cost == "latency")
    found = front(library, COSTS[cost])
    path = home.study(name) / "plots" / f"ensemble-front-{cost}.png"
    write_front(name, library, found, COSTS[cost], path)
    return found, path, COSTS[cost]


def _finish(
    home: Home, name: str, changes: Mapping[str, Any], listener: Listener
) -> tuple[StudyConfig, Finish]:
    """The study's settings with ``changes``, and what ends it, without holding it."""
    ledger = Ledger.open(home, name)
    config = extended(ledger.config, changes)
    return config, Finish(ledger, same_data(ledger, ledger.config, listener), listener)


def sync(home: Home, name: str, listener: Listener) -> int:
    """Bring MLflow up to date with a study that is not running; returns how many trials it lacked in part."""
    from services.tracking.projector import sync  # MLflow takes seconds to import
    from services.tracking.store import TrackingStore

    Ledger.require(home, name)
    with owned(home, name, listener) as ledger:
        splits = same_data(ledger, ledger.config, listener)
        return sync(ledger, TrackingStore.at(home), ValidationLabels.of(splits))


@contextmanager
def owned(home: Home, name: str, listener: Listener, *, take_over: bool = False) -> Iterator[Ledger]:
    """The study for as long as this process holds it."""

    def told(text: str) -> None:
        listener(Notice(text=text))

    try:
        with lease(home, name, take_over=take_over, told=told) as fence:
            yield Ledger.open(home, name, fence)
    except ConvscoutError as error:
        if isinstance(error.__cause__, OSError):  # once there is room again
            error.next_command = error.next_command or f"convscout resume {name}"
        raise
    except (OperationalError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in NO_ROOM:
            raise
        said = cause(error) if isinstance(error, OperationalError) else str(error)
        raise ConvscoutError(
            f"study {name!r} cannot go on: {said}; all that was saved before is kept",
            next_command=f"convscout resume {name}",
        ) from error


def load_data(
    config: StudyConfig,
    home: Home,
    listener: Listener,
    choose: Callable[[Available], Extent] | None = None,
) -> DataSplits:
    """The study's data, from its cache where it was decoded before.

    How much of it, and at which size, is for ``choose`` to decide where ``config`` does not say it.
    """
    listener(PhaseStarted(phase="data", detail=config.data))

    def progress(description: str, done: int, total: int) -> None:
        listener(Loading(description=description, done=done, total=total))

    splits = load(config.data_request(home, choose), progress)
    listener(Notice(text=told(splits)))
    return splits


def load_images(data: str, home: Home, listener: Listener, **settings: Any) -> DataSplits:
    """The images of ``data`` for no study, under ``settings`` by field name. Raises ``ConfigError`` for bad ones."""
    return load_data(StudyConfig.from_options({"name": "images", "data": data, **settings}), home, listener)


def space_of(home: Home, name: str, listener: Listener) -> SearchSpace:
    """What the study called ``name`` samples."""
    ledger = Ledger.open(home, name)
    return study_space(ledger.config, TrainingData.of(same_data(ledger, ledger.config, listener)))


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


def _pace(splits: DataSplits, speed: MachineSpeed) -> Pace:
    return Pace.on(speed, training=len(splits.train), validation=len(splits.validation))


def _settled(
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
    decided, full_trials = settled(
        config, data, _pace(splits, speed), workers=placement.workers, sharing=placement.per_gpu
    )
    if not config.families:
        count = f"{len(decided.families)} of {len(families.names())}"
        names = ", ".join(decided.families)
        listener(Notice(text=f"families: {names} ({count}; other ones with --families)"))
    decided, told = with_sampler(decided, study_space(decided, data), full_trials)
    if told:
        listener(Notice(text=told))
    return decided


def same_data(
    ledger: Ledger, config: StudyConfig, listener: Listener, accept_changes: bool = False
) -> DataSplits:
    splits = load_data(config, ledger.home, listener)
    if splits.fingerprint == ledger.fingerprint:
        return splits
    prints = f"fingerprint {ledger.fingerprint[:12]}, now {splits.fingerprint[:12]}"
    if not accept_changes:
        rule = (
            f"must still be what study {ledger.name!r} began with ({prints}); restore the images, begin a new study, "
            f"or resume with --accept-changes, which keeps earlier trials for the sampler but not for the ensemble"
        )
        raise ConfigError([Problem(field="data", value=ledger.config.data, rule=rule)])
    listener(Notice(text=f"the images changed ({prints}): earlier trials inform the sampler alone"))
    ledger.set_note("fingerprint", splits.fingerprint)
    return splits


def _same_code(ledger: Ledger, listener: Listener, accept_changes: bool) -> None:
    """Raise ``ConfigError`` when other code would train what is still to be trained, unless that is accepted."""
    now = code_version()
    changed = difference(ledger.note(CODE_NOTE) or {}, now)
    if not changed:
        return
    if not accept_changes:
        rule = (
            f"must be what study {ledger.name!r} began with, or its trials could not be compared: {changed}; "
            f"go back to that version, or resume with --accept-changes"
        )
        raise ConfigError([Problem(field="code", value=version("convscout"), rule=rule)])
    listener(Notice(text=f"the code changed: {changed}"))
    ledger.set_note(CODE_NOTE, now)


def _own_time(ledger: Ledger, changes: Mapping[str, Any]) -> tuple[float | None, dict[str, Any]]:
    """Seconds that ``changes`` grant to this command alone, and the changes that last."""
    lasting = dict(changes)
    time = lasting.get("time_s")
    if time is None or (isinstance(time, str) and time.startswith("+")):
        return None, lasting
    del lasting["time_s"]
    seconds = extended(ledger.config, {"time_s": time}).time_s
    return (None if seconds == ledger.config.time_s else seconds), lasting


def _time_left_s(ledger: Ledger) -> float | None:
    """What the study has left of its time, but enough to finish if it never has."""
    if ledger.config.time_s is None:
        return None
    needed_s = 0.0 if stored_outcome(ledger) else 2 * FIXED_S
    return max(ledger.config.time_s - ledger.spent_s, needed_s)


def _budget(config: StudyConfig, started_s: float, time_s: float | None) -> Budget:
    return Budget(started_s=started_s, time_s=math.inf if time_s is None else time_s, trials=config.trials)


def _run(
    ledger: Ledger,
    splits: DataSplits,
    listener: Listener,
    budget: Budget,
    cluster: Machine | None,
    speed: MachineSpeed,
) -> Outcome:
    """Search until the budget is spent, then select, test and export; MLflow follows in its own thread."""
    projection = Mirror(partial(_projector, ledger, ValidationLabels.of(splits)))
    with Interrupts() as interrupts, last_words(*_words(ledger)):
        try:
            projection.start()
            search = _train(ledger, splits, budget, listener, projection, interrupts, cluster, speed)
            if search.paused:
                raise StudyInterrupted(
                    f"study {ledger.name!r} is paused; every trial has ended its epoch",
                    next_command=f"convscout resume {ledger.name}",
                    paused=True,
                )
            if interrupts.requested:
                raise StudyInterrupted(
                    f"study {ledger.name!r} was interrupted; every finished epoch is kept",
                    next_command=f"convscout resume {ledger.name}",
                )
            projection.touch_plots()  # drawn while the ensemble is made
            cost = replace(search.finish_cost, validation=0)  # they have been asked when it is refitted
            refit = _refit(ledger, splits, budget, cost, listener, interrupts, cluster)
            outcome = Finish(ledger, splits, listener).run(search.affordable_members, refit)
            tell_tracking(ledger, outcome)
        finally:
            patience_s = INTERRUPTED_PATIENCE_S if interrupts.requested else MIRROR_PATIENCE_S
            _close(ledger.name, projection, listener, patience_s)
    _register(ledger, outcome, splits, listener)
    return outcome


def _projector(ledger: Ledger, validation: ValidationLabels) -> Projector:
    # MLflow takes seconds to import: the mirror's thread does it while the first trials begin
    from services.tracking.projector import Projector
    from services.tracking.store import TrackingStore

    return Projector(ledger, TrackingStore.at(ledger.home), validation)


def _words(ledger: Ledger) -> tuple[str, str]:
    """What to say of this process if it is killed, and the next command then."""
    home = shlex.quote(str(ledger.home.root))
    return (
        f"the process that ran study {ledger.name!r} was killed, or Ray ended it; every finished epoch is kept",
        f"convscout resume {ledger.name} --home {home}",
    )


def _train(
    ledger: Ledger,
    splits: DataSplits,
    budget: Budget,
    listener: Listener,
    projection: Mirror,
    interrupts: Interrupts,
    cluster: Machine | None,
    speed: MachineSpeed,
) -> Search:
    """Train until the budget is spent; returns the search, which has ended or is paused."""
    config, data = ledger.config, TrainingData.of(splits)
    placement = place(config, data, cluster)
    if placement.reason:
        listener(Notice(text=placement.reason))
    data = shared_out(data, placement, cluster)
    if where := told_of_gpu(data):
        listener(Notice(text=where))
    executor = executor_of(config, data, placement, ledger.home)
    setting = Setting(
        space=study_space(config, data),
        budget=budget,
        fingerprint=data.fingerprint,
        num_training=len(splits.train),
        num_validation=len(splits.validation),
        num_test=splits.num_test,
        gpu_share=placement.gpu_share,
        device=placement.device,
        pace=_pace(splits, speed),
        workers=placement.workers,
        speed=speed,
    )
    search = Search(
        ledger,
        setting,
        listener=listener,
        touch=projection.touch,
        interrupted=lambda: interrupts.requested or ledger.lost,
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
    return search


def _refit(
    ledger: Ledger,
    splits: DataSplits,
    budget: Budget,
    cost: FinishCost,
    listener: Listener,
    interrupts: Interrupts,
    cluster: Machine | None,
) -> Refit | None:
    """What trains the members of the ensemble once more, if the study asks for that."""
    config = ledger.config
    if not config.refit:
        return None

    def refit(ensemble: Ensemble) -> Ensemble:
        data = TrainingData.of(splits)
        listener(PhaseStarted(phase="refit", detail=f"{len(ensemble.members)} members"))
        plan = refit_trainings(ledger, ensemble, data, config.refit_seeds)
        train(
            ledger,
            plan,
            refit_data(data),
            description="refitting, epochs",
            left_s=lambda: budget.left_s - cost.reserve_s(len(plan), budget.time_s),
            interrupted=lambda: interrupts.requested,
            listener=listener,
            cluster=cluster,
        )
        if interrupts.requested:
            raise StudyInterrupted(
                f"study {ledger.name!r} was interrupted; every finished epoch is kept",
                next_command=f"convscout resume {ledger.name}",
            )
        if missing := sum(not training.done for training in plan):
            listener(
                Notice(text=f"refitting: {missing} of {len(plan)} networks were not finished in the time")
            )
        return refitted(ledger, ensemble, config.refit_seeds)

    return refit


def _close(name: str, projection: Mirror, listener: Listener, patience_s: float) -> None:
    listener(PhaseStarted(phase="tracking", detail="bringing MLflow up to date"))
    pending = projection.close(patience_s)
    if pending:
        why = projection.problem or "it is slow"
        listener(Notice(text=f"MLflow lacks {pending} trial(s) ({why}); mend it with: convscout sync {name}"))


def _register(ledger: Ledger, outcome: Outcome, splits: DataSplits, listener: Listener) -> None:
    """Make the export MLflow's champion. The study is complete without it, so a failure is only told."""
    try:
        from services.tracking.champion import register_champion  # MLflow takes seconds to import
        from services.tracking.store import TrackingStore

        accuracy, store = outcome.score("ensemble", "validation"), TrackingStore.at(ledger.home)
        register_champion(ledger, store, outcome.export, splits.validation.images[:1], accuracy)
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
