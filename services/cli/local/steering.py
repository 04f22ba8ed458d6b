"""Steering a study of this machine, whether it runs or not: stop, pause, enqueue, retry."""

from __future__ import annotations

from collections.abc import Mapping

from convscout.search_space.knobs import Scalar
from convscout.services.cli.display import display
from convscout.services.cli.output import print_json, print_line
from convscout.services.config.study_ref import StudyRef
from convscout.services.studies import commands


def stop(ref: StudyRef, *, json: bool) -> None:
    """Stop the process that runs a study, and wait until it has ended."""
    stopped = commands.stop(ref)
    if json:
        print_json({"study": ref.name, "stopped": stopped})
    else:
        print_line(f"study {ref.name} {'has stopped' if stopped else 'is not running'}")


def pause(ref: StudyRef, *, json: bool) -> None:
    """Let a running study end the epochs under way, then leave."""
    commands.pause(ref)
    if json:
        print_json({"study": ref.name, "paused": True})
    else:
        print_line(f"study {ref.name} is paused; go on: convscout resume {ref.name}")


def enqueue(ref: StudyRef, values: Mapping[str, Scalar], *, json: bool) -> None:
    """Let a trial with these ``values`` of knobs be the next."""
    from convscout.services.studies import session  # torch, which the commands above need not wait for

    with display(quiet=True) as listener:
        space = session.space_of(ref, listener)
    parameters = commands.enqueue(ref, values, space)
    if json:
        print_json({"study": ref.name, "parameters": parameters})
        return
    shown = ", ".join(f"{knob} = {value}" for knob, value in parameters.items())
    print_line(f"queued for study {ref.name}: {shown}")
    _say_how_to_train(ref)


def retry(ref: StudyRef, number: int, *, json: bool) -> None:
    """Let a trial that was stopped or failed go on to its end."""
    commands.retry(ref, number)
    if json:
        print_json({"study": ref.name, "trial": number})
        return
    attempt = commands.next_attempt(ref, number)
    print_line(f"trial {number} of study {ref.name} goes on as attempt {attempt}")
    _say_how_to_train(ref)


def _say_how_to_train(ref: StudyRef) -> None:
    if not commands.is_running(ref):
        print_line(f"train it: convscout resume {ref.name}")
