"""Steering: what one can ask of a study from another command, whether or not a process is running it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from search_space.errors import ConfigError, ConvscoutError, Problem, StudyStateError
from search_space.knobs import Override
from search_space.space import Candidate, SearchSpace
from services.config import SETTINGS
from services.distributions import contains, distributions_of
from services.extension import WHILE_RUNNING, changed_fields, extended
from services.home import Home
from services.inbox import CHANGE, ENQUEUE, PAUSE, RETRY, STOP_TRIAL, Inbox, Message, wait_until_empty
from services.lease import holder, lease
from services.study import Ledger
from trials.config import TrialState

PATIENCE_S = 15.0  # a controller reads its inbox whenever a trial reports or a worker is free


def is_running(home: Home, name: str) -> bool:
    """Whether a process runs the study called ``name``. Raises ``StudyNotFoundError`` when there is none."""
    Ledger.require(home, name)
    return holder(home, name) is not None


def change(home: Home, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Let the process that runs the study go on under other settings; returns what is new, by field name.

    Raises ``ConfigError`` for what may not change, or not while it runs.
    """
    config = Ledger.open(home, name).config
    fields = changed_fields(config, extended(config, changes))
    _refuse_while_running(name, fields)
    if fields:
        Inbox(home, name).put(Message(kind=CHANGE, content=fields))
    return fields


def enqueue(home: Home, name: str, settings: Mapping[str, Any], space: SearchSpace) -> dict[str, object]:
    """Let a trial made by hand be the next; returns its parameters.

    ``settings`` are the family and knobs by full name; what they leave open is as proven. Raises ``ConfigError``
    for what is not in the study's ``space``.
    """
    parameters = space.parameters(_by_hand(space, settings))
    if is_running(home, name):
        Inbox(home, name).put(Message(kind=ENQUEUE, content=parameters))
    else:
        with lease(home, name) as fence:
            Ledger.open(home, name, fence).enqueue(parameters, by_hand=True)
    return parameters


def retry(home: Home, name: str, number: int) -> None:
    """Let a stopped trial go on from its last checkpoint, or a failed one begin anew.

    Raises ``StudyStateError`` for any other.
    """
    if is_running(home, name):
        Ledger.open(home, name).check_reopenable(number)
        Inbox(home, name).put(Message(kind=RETRY, content={"number": number}))
        return
    with lease(home, name) as fence:
        Ledger.open(home, name, fence).reopen(number)


def next_attempt(home: Home, name: str, number: int) -> int:
    """Which attempt at a trial comes next, counted from 1."""
    return Ledger.open(home, name).trial(number).attempt + 1


def stop_trial(home: Home, name: str, number: int) -> None:
    """Let a running trial end with its present epoch, which counts. Raises ``StudyStateError`` for any other."""
    record = Ledger.open(home, name).trial(number)
    if not is_running(home, name):
        raise StudyStateError(f"study {name!r} is not running; its trials stand still")
    if record.state is not TrialState.RUNNING:
        raise StudyStateError(
            f"trial {number} of study {name!r} is {record.state}; only a running one can be stopped"
        )
    Inbox(home, name).put(Message(kind=STOP_TRIAL, content={"number": number}))


def ask_to_pause(home: Home, name: str) -> None:
    """Ask the process that runs the study to leave once each trial has ended its epoch.

    Raises ``StudyStateError`` when none runs it.
    """
    if not is_running(home, name):
        raise StudyStateError(f"study {name!r} is not running; there is nothing to pause")
    Inbox(home, name).put(Message(kind=PAUSE))


def pause(home: Home, name: str) -> None:
    """As ``ask_to_pause``, and wait until it has left."""
    ask_to_pause(home, name)
    while is_running(home, name):
        time.sleep(0.2)


def await_answer(home: Home, name: str) -> None:
    """Wait until the process that runs the study has acted on what it was asked.

    Raises ``ConvscoutError`` when it does not: it is about to end, and the next resume will.
    """
    if is_running(home, name) and not wait_until_empty(Inbox(home, name), PATIENCE_S):
        raise ConvscoutError(
            f"study {name!r} has not answered within {PATIENCE_S:.0f} s; it acts on it when a trial reports next, "
            f"or when it is resumed",
            next_command=f"convscout resume {name}",
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
