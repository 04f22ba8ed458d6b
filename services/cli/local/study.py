"""Running a study on this machine: search, resume, config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psutil
from rich.console import Console

from convscout.services.cli.display import display, print_outcome
from convscout.services.cli.naming import name_fields
from convscout.services.cli.output import print_json, print_line
from convscout.services.config.home import Home
from convscout.services.config.names import refuse_new_study_name
from convscout.services.config.study_config import StudyConfig
from convscout.services.config.study_ref import StudyRef
from convscout.services.config.toml import to_toml
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies import commands, run
from convscout.services.studies.outcome import Outcome


def search(home: Home, settings: Mapping[str, Any], *, json: bool) -> None:
    """Run a new study and tell what it came to."""
    config = StudyConfig.from_options(name_fields(settings, lambda: Ledger.names(home)))
    with display(quiet=json) as listener:
        outcome = run.search(config, home, listener, _started_s())
    _tell(outcome, home, json)


def resume(
    ref: StudyRef,
    changes: Mapping[str, Any],
    *,
    accept_changes: bool,
    take_over: bool,
    json: bool,
) -> None:
    """Go on with a study, or tell the process that runs it of the ``changes``."""
    if changes and not take_over and commands.is_running(ref):
        _change(ref, changes, json)
        return
    with display(quiet=json) as listener:
        outcome = run.resume(
            ref,
            listener,
            _started_s(),
            changes=changes,
            accept_changes=accept_changes,
            take_over=take_over,
        )
    _tell(outcome, ref.home, json)


def config(home: Home, settings: Mapping[str, Any], *, of: str | None, json: bool) -> None:
    """Print the configuration of a search with these settings, which win over those of the study ``of``."""
    if of is None:
        effective = StudyConfig.from_options(name_fields(settings, lambda: Ledger.names(home)))
        refuse_new_study_name(effective.name)
    else:
        effective = StudyConfig.from_options({**Ledger.open(home.study(of)).config.to_dict(), **settings})
    if json:
        print_json(effective.to_dict())
    else:
        print_line(to_toml(effective).rstrip("\n"))


def _started_s() -> float:
    """When this process began, in seconds since 1970: ``--time`` counts the imports too."""
    return psutil.Process().create_time()


def _change(ref: StudyRef, changes: Mapping[str, Any], json: bool) -> None:
    """Tell the process that runs the study of ``changes``, and wait until it has answered."""
    changed = commands.change(ref, changes)
    commands.await_answer(ref)
    if json:
        print_json({"study": ref.name, "changed": changed})
    else:
        print_line(f"study {ref.name} goes on with {', '.join(changed) or 'nothing'} changed")


def _tell(outcome: Outcome, home: Home, json: bool) -> None:
    if json:
        print_json(outcome.to_dict())
    else:
        print_outcome(Console(), outcome, home)
