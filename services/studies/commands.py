"""Steering: what one can ask of a study from another command, whether or not a process is running it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from convscout.search_space.errors import ConfigError, ConvscoutError, Problem, StudyStateError
from convscout.search_space.knobs import Override
from convscout.search_space.space import Candidate, SearchSpace
from convscout.services.config.changes import WHILE_RUNNING, changed_fields, extend
from convscout.services.config.study_config import SETTINGS
from convscout.services.config.study_ref import StudyRef
from convscout.services.ledger.lease import holder, lease, refuse_elsewhere
from convscout.services.ledger.ledger import Ledger
from convscout.services.samplers.distributions import contains, distributions_of
from convscout.services.search.command_queue import (
    CHANGE,
    ENQUEUE,
    PAUSE,
    RETRY,
    STOP_TRIAL,
    Command,
    CommandQueue,
    wait_until_empty,
)
from convscout.trials.config import TrialState

STOP_PATIENCE_S = 60.0
PATIENCE_S = 15.0  # a controller reads its inbox whenever a trial reports or a worker is free


def is_running(ref: StudyRef) -> bool:
    """Whether a process runs the study called ``name``. Raises ``StudyNotFoundError`` when there is none."""
    Ledger.require(ref)
    return holder(ref) is not None


def stop(ref: StudyRef) -> bool:
    """Ask the process that runs the study to stop, and wait until it has; False when none runs it.

    Raises ``ConvscoutError`` when it does not stop in time.
    """
    Ledger.require(ref)
    found = holder(ref)
    if found is None:
        return False
    refuse_elsewhere(found, ref.name)
    os.kill(found.pid, signal.SIGTERM)
    patience = time.monotonic() + STOP_PATIENCE_S
    while holder(ref) == found:
        if time.monotonic() > patience:
            raise ConvscoutError(f"process {found.pid} did not stop within {STOP_PATIENCE_S:.0f} s")
        time.sleep(0.1)
    return True


def change(ref: StudyRef, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Let the process that runs the study go on under other settings; returns what is new, by field name.

    Raises ``ConfigError`` for what may not change, or not while it runs.
    """
    ledger = Ledger.open(ref)
    fields = changed_fields(ledger.config, extend(ledger.config, changes, ledger.used))
    _refuse_while_running(ref.name, fields)
    if fields:
        CommandQueue(ref).put(Command(kind=CHANGE, content=fields))
    return fields


def enqueue(ref: StudyRef, settings: Mapping[str, Any], space: SearchSpace) -> dict[str, object]:
    """Let a trial made by hand be the next; returns its parameters.

    ``settings`` are the family and knobs by full name; what they leave open is as proven. Raises ``ConfigError``
    for what is not in the study's ``space``.
    """
    parameters = space.parameters(_by_hand(space, settings))
    if is_running(ref):
        CommandQueue(ref).put(Command(kind=ENQUEUE, content=parameters))
    else:
        with lease(ref) as fence:
            Ledger.open(ref, fence).enqueue(parameters, by_hand=True)
    return parameters


def retry(ref: StudyRef, number: int) -> None:
    """Let a stopped trial go on from its last checkpoint, or a failed one begin anew.

    Raises ``StudyStateError`` for any other.
    """
    if is_running(ref):
        Ledger.open(ref).check_reopenable(number)
        CommandQueue(ref).put(Command(kind=RETRY, content={"number": number}))
        return
    with lease(ref) as fence:
        Ledger.open(ref, fence).reopen(number)


def next_attempt(ref: StudyRef, number: int) -> int:
    """Which attempt at a trial comes next, counted from 1."""
    return Ledger.open(ref).trial(number).attempt + 1


def stop_trial(ref: StudyRef, number: int) -> None:
    """Let a running trial end with its present epoch, which counts. Raises ``StudyStateError`` for any other."""
    record = Ledger.open(ref).trial(number)
    if not is_running(ref):
        raise StudyStateError(f"study {ref.name!r} is not running; its trials stand still")
    if record.state is not TrialState.RUNNING:
        raise StudyStateError(
            f"trial {number} of study {ref.name!r} is {record.state}; only a running one can be stopped"
        )
    CommandQueue(ref).put(Command(kind=STOP_TRIAL, content={"number": number}))


def ask_to_pause(ref: StudyRef) -> None:
    """Ask the process that runs the study to leave once each trial has ended its epoch.

    Raises ``StudyStateError`` when none runs it.
    """
    if not is_running(ref):
        raise StudyStateError(f"study {ref.name!r} is not running; there is nothing to pause")
    CommandQueue(ref).put(Command(kind=PAUSE))


def pause(ref: StudyRef) -> None:
    """As ``ask_to_pause``, and wait until it has left."""
    ask_to_pause(ref)
    while is_running(ref):
        time.sleep(0.2)


def await_answer(ref: StudyRef) -> None:
    """Wait until the process that runs the study has acted on what it was asked.

    Raises ``ConvscoutError`` when it does not: it is about to end, and the next resume will.
    """
    if is_running(ref) and not wait_until_empty(CommandQueue(ref), PATIENCE_S):
        raise ConvscoutError(
            f"study {ref.name!r} has not answered within {PATIENCE_S:.0f} s; it acts on it when a trial reports next, "
            f"or when it is resumed",
            next_command=f"convscout resume {ref.name}",
        )


def _refuse_while_running(name: str, fields: Mapping[str, Any]) -> None:
    rule = f"cannot change while the study runs; first type: convscout stop {name}"
    problems = [
        Problem(field=SETTINGS[field].path, value=value, rule=rule)
        for field, value in fields.items()
        if field not in WHILE_RUNNING
    ]
    if problems:
        raise ConfigError(problems)


def _by_hand(space: SearchSpace, settings: Mapping[str, Override]) -> Candidate:
    """The proven candidate with ``settings``, in ``space``."""
    knobs = dict(settings)
    family = str(knobs.pop("family", space.families[0]))
    if family not in space.families:
        rule = f"must be one of the study's families: {', '.join(space.families)}"
        raise ConfigError([Problem(field="family", value=family, rule=rule)])
    fixed = replace(space, overrides={**space.overrides, **knobs})
    candidate = next(each for each in fixed.portfolio() if each[0].name == family)
    _refuse_unsampled(space, candidate, knobs)
    return candidate


def _refuse_unsampled(space: SearchSpace, candidate: Candidate, knobs: Mapping[str, Override]) -> None:
    """Raise ``ConfigError`` for knobs that the study does not sample for such a candidate, or not with that value."""
    sampled, searched, ranges = space.parameters(candidate), space.knobs(), distributions_of(space)
    problems = []
    for name, value in knobs.items():
        if name not in sampled:
            rule = (
                "is not sampled by this study with the other settings given; widen its space on resume first"
            )
        elif not contains(ranges[name], value):
            rule = f"must be in what this study samples: {searched[name].range_text()}; or widen its space on resume"
        else:
            continue
        problems.append(Problem(field=name, value=value, rule=rule))
    if problems:
        raise ConfigError(problems)
