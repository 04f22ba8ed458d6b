"""A study in the hands of this process: how it is held, its images, its space, and what one run of it goes by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from convscout.search_space.errors import ConfigError, ConvscoutError, DataError, Problem, StudyInterrupted
from convscout.search_space.space import SearchSpace
from convscout.services.config.home import Home
from convscout.services.config.space_overrides import space_overrides
from convscout.services.config.study_config import StudyConfig
from convscout.services.config.study_ref import StudyRef
from convscout.services.events.events import Listener, Loading, Notice, PhaseStarted
from convscout.services.executors.data_placement import describe_placement
from convscout.services.executors.placement import Machine, Placement, place
from convscout.services.ledger.lease import lease
from convscout.services.ledger.ledger import Ledger
from convscout.services.ledger.provenance import CODE_NOTE, code_version, difference
from convscout.services.ledger.retries import DatabaseFailure, cause
from convscout.services.search.budget import Budget
from convscout.services.system.signals import Interrupts
from convscout.services.tracking.relocation import settle
from convscout.trials.data.batches import TrainingData
from convscout.trials.data.extent import Available, Extent
from convscout.trials.data.sources import load
from convscout.trials.data.splits import DataSplits
from convscout.trials.training.machine_speed import MachineSpeed
from convscout.trials.training.run import NO_ROOM


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """What one run of a study goes by, decided before its first trial.

    ``data`` are the images of ``splits`` that trials train on and are judged by, ``placement`` where they train, on
    ``cluster`` or this machine, whose speed is ``speed``. ``interrupts`` tells whether a person asked to stop.
    """

    ledger: Ledger
    splits: DataSplits
    data: TrainingData
    space: SearchSpace
    placement: Placement
    cluster: Machine | None
    budget: Budget
    speed: MachineSpeed
    listener: Listener
    interrupts: Interrupts

    @classmethod
    def of(
        cls,
        ledger: Ledger,
        splits: DataSplits,
        *,
        cluster: Machine | None,
        budget: Budget,
        speed: MachineSpeed,
        listener: Listener,
    ) -> Self:
        """That of the study of ``ledger``, which this process holds."""
        config, data = ledger.config, TrainingData.of(splits)
        return cls(
            ledger=ledger,
            splits=splits,
            data=data,
            space=study_space(config, data),
            placement=place(config, data, cluster),
            cluster=cluster,
            budget=budget,
            speed=speed,
            listener=listener,
            interrupts=Interrupts(),
        )

    def stop_if_asked(self) -> None:
        """Raise ``StudyInterrupted`` once a person asked to stop."""
        if self.interrupts.requested:
            raise StudyInterrupted(
                f"study {self.ledger.name!r} was interrupted; every finished epoch is kept",
                next_command=f"convscout resume {self.ledger.name}",
            )


@contextmanager
def own(ref: StudyRef, listener: Listener, *, take_over: bool = False) -> Iterator[Ledger]:
    """The study for as long as this process holds it."""

    def notify(text: str) -> None:
        listener(Notice(text=text))

    try:
        settle(ref.home, notify)
        with lease(ref, take_over=take_over, notify=notify) as fence:
            yield Ledger.open(ref, fence)
    except ConvscoutError as error:
        if isinstance(error.__cause__, OSError):  # once there is room again
            error.next_command = error.next_command or f"convscout resume {ref.name}"
        raise
    except (DatabaseFailure, OSError) as error:
        if isinstance(error, OSError) and error.errno not in NO_ROOM:
            raise
        said = cause(error) if isinstance(error, DatabaseFailure) else str(error)
        raise ConvscoutError(
            f"study {ref.name!r} cannot go on: {said}; all that was saved before is kept",
            next_command=f"convscout resume {ref.name}",
        ) from error


def load_data(
    config: StudyConfig,
    home: Home,
    listener: Listener,
    choose: Callable[[Available], Extent] | None = None,
    white: int | None = None,
) -> DataSplits:
    """The study's data, from its cache where it was decoded before.

    How much of it, and at which size, is for ``choose`` to decide where ``config`` does not say it. ``white`` is what a
    network that is to see them has for white; None leaves it to the images.
    """
    listener(PhaseStarted(phase="data", detail=config.data))

    def progress(description: str, done: int, total: int) -> None:
        listener(Loading(description=description, done=done, total=total))

    splits = load(replace(config.data_request(home, choose), white=white), progress)
    listener(Notice(text=describe_placement(splits)))
    for note in splits.notes:
        listener(Notice(text=f"images: {note}"))
    return splits


def load_images(
    data: str, home: Home, listener: Listener, white: int | None = None, **settings: Any
) -> DataSplits:
    """The images of ``data`` for no study, under ``settings`` by field name. Raises ``ConfigError`` for bad ones.

    ``white`` is as ``load_data`` takes it.
    """
    config = StudyConfig.from_options({"name": "images", "data": data, **settings})
    return load_data(config, home, listener, white=white)


def space_of(ref: StudyRef, listener: Listener) -> SearchSpace:
    """What the study called ``name`` samples."""
    ledger = Ledger.open(ref)
    return study_space(ledger.config, TrainingData.of(same_data(ledger, ledger.config, listener)))


def same_data(
    ledger: Ledger, config: StudyConfig, listener: Listener, accept_changes: bool = False
) -> DataSplits:
    """The study's images under ``config``.

    Where they lie may have changed. Raises ``ConfigError`` where they are others than those it began with, unless that
    is accepted, and ``DataError`` where they cannot be read.
    """
    home = ledger.home
    directory = home.rebase(config.data_dir) if config.data_dir else config.data_dir
    here = replace(config, data=home.rebase(config.data), data_dir=directory)
    try:
        splits = load_data(here, home, listener)
    except DataError as error:
        source, _, place = here.data.partition(":")
        if place and not Path(place).expanduser().exists():
            error.next_command = f"convscout resume {ledger.name} --data {source}:PATH"  # it may have moved
        raise
    if splits.fingerprint == ledger.fingerprint:
        return splits
    prints = f"fingerprint {ledger.fingerprint[:12]}, now {splits.fingerprint[:12]}"
    if not accept_changes:
        rule = (
            f"must still be what study {ledger.name!r} began with ({prints}); restore the images and what is "
            f"declared of them, begin a new study, or resume with --accept-changes, which keeps earlier trials for the "
            f"sampler but not for the ensemble"
        )
        raise ConfigError([Problem(field="data", value=config.data, rule=rule)])
    listener(Notice(text=f"the images changed ({prints}): earlier trials inform the sampler alone"))
    ledger.set_note("fingerprint", splits.fingerprint)
    return splits


def same_code(ledger: Ledger, listener: Listener, accept_changes: bool) -> None:
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


def study_space(config: StudyConfig, data: TrainingData) -> SearchSpace:
    """What the study may sample."""
    assert config.epochs is not None, "decided when the study began"
    return SearchSpace(
        image=data.image,
        families=config.families,
        epochs=config.epochs,
        precision=config.precision,
        overrides=space_overrides(config, len(data.train)),
    )
