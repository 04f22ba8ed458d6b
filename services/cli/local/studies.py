"""Looking at the studies of this machine, and tidying them up: studies, show, trials, sync, delete, restore."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from convscout.services.cli.display import display, print_distilled, print_outcome
from convscout.services.cli.options import Order
from convscout.services.cli.output import print_json, print_line, print_table
from convscout.services.config.home import Home
from convscout.services.config.objectives import COSTS
from convscout.services.config.study_ref import StudyRef
from convscout.services.config.units import format_count
from convscout.services.control.study_state import StudyState, states_on_disk
from convscout.services.events.wording import network_text, state_text, trials_text
from convscout.services.ledger.ledger import Ledger
from convscout.services.ledger.ranking import rank
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.schemas.study_status import StudyStatus
from convscout.services.studies import deletion
from convscout.services.studies.distilled import Distilled, load_distilled
from convscout.services.studies.outcome import Outcome, load_outcome
from convscout.trials.evaluation.qualities import QUALITIES


def studies(home: Home, *, json: bool) -> None:
    """List the studies under the home."""
    summaries = [_summary(state) for state in states_on_disk(home, Ledger.names(home))]
    if json:
        print_json(summaries)
    elif not summaries:
        print_line(f"no studies under {home.root} yet; begin with: convscout search --data digits --time 2m")
    else:
        columns = ["study", "data", "status", "trials", "best val"]
        print_table(columns, map(_study_row, summaries), right=columns[3:])


def show(ref: StudyRef, *, json: bool) -> None:
    """Show one study."""
    Ledger.require(ref)
    (state,) = states_on_disk(ref.home, [ref.name])
    ledger = state.ledger
    assert ledger is not None
    summary, outcome, distilled = _summary(state), load_outcome(ledger), load_distilled(ledger)
    if json:
        parts = {
            "config": ledger.config.to_dict(),
            "outcome": outcome.to_dict() if outcome else None,
            "distilled": distilled.to_dict() if distilled else None,
        }
        print_json({**summary, **parts})
        return
    _print_standing(summary)
    if len(summary["objective"]) > 1:
        _print_front(ledger)
    print_line(f"directory: {summary['directory']}")
    if outcome:
        _print_results(outcome, distilled, ref.home)
    print_line(f"next: {summary['next_command']}")


def trials(ref: StudyRef, sort: Order, limit: int | None, *, json: bool) -> None:
    """List the trials of a study, the first ``limit`` of them."""
    records = _sort(Ledger.open(ref).trials(), sort)[:limit]
    if json:
        print_json([record.to_dict() for record in records])
        return
    columns = ["#", "family", "params", "epochs", "val", "state", "took", "reason"]
    print_table(columns, map(_trial_row, records), right=("#", "params", "epochs", "val", "took"))


def sync(ref: StudyRef, *, json: bool) -> None:
    """Write into MLflow what it lacks of a study."""
    from convscout.services.studies import (
        results,  # torch and MLflow, which the other commands need not wait for
    )

    with display(quiet=json) as listener:
        behind = results.sync(ref, listener)
    if json:
        print_json({"study": ref.name, "behind": behind})
    else:
        print_line(f"MLflow has all of study {ref.name}; it lacked {behind} trial(s)")


def delete(ref: StudyRef, *, json: bool) -> None:
    """Delete a study, and for good those whose time is over."""
    deletion.purge(ref.home)
    until = deletion.delete(ref).astimezone()
    if json:
        print_json({"study": ref.name, "deleted_until": until.isoformat()})
    else:
        print_line(
            f"study {ref.name} is deleted; until {until:%Y-%m-%d %H:%M} this undoes it: convscout restore {ref.name}"
        )


def restore(ref: StudyRef, *, json: bool) -> None:
    """Bring back a study that was deleted."""
    deletion.restore(ref)
    if json:
        print_json({"study": ref.name, "restored": True})
    else:
        print_line(f"study {ref.name} is back; look at it: convscout show {ref.name}")


def _print_standing(summary: Mapping[str, Any]) -> None:
    counts = trials_text(summary["trials"].items(), did_not_fit=summary["did_not_fit"])
    print_line(f"study {summary['name']} on {summary['data']}: {summary['status']}; {counts}")
    print_line(summary["message"])
    quality = summary["objective"][0].replace("_", " ")
    print_line(f"best validation {quality}: {_score(summary) or 'none yet'}")


def _print_results(outcome: Outcome, distilled: Distilled | None, home: Home) -> None:
    print_outcome(Console(), outcome, home)
    if distilled:
        print_line("")
        print_distilled(distilled)
        print_line("")


def _summary(state: StudyState) -> dict[str, Any]:
    shown, directory = state.summary(), state.reader.ref.directory
    return {
        "name": shown.name,
        "data": shown.data,
        "status": shown.status,
        "message": shown.message,
        "next_command": _next_command(state, directory),
        "trials": shown.trials,
        "did_not_fit": shown.did_not_fit,
        "objective": shown.objective,
        "best": shown.best.score if shown.best else None,
        "directory": str(directory),
    }


def _next_command(state: StudyState, directory: Path) -> str:
    """What to type next on this machine, where `predict` is told an export and every other command a home."""
    command = state.next_command(model=shlex.quote(str(state.reader.ref.export)))
    if state.status is StudyStatus.FINISHED:
        return command
    return f"{command} --home {shlex.quote(str(state.reader.ref.home.root))}"


def _study_row(summary: Mapping[str, Any]) -> list[str]:
    return [
        summary["name"],
        summary["data"],
        summary["status"],
        str(sum(summary["trials"].values()) - summary["did_not_fit"]),
        _score(summary),
    ]


def _sort(records: list[TrialRecord], order: Order) -> list[TrialRecord]:
    if order is Order.SCORE:
        return rank(records)
    if order is Order.PARAMS:
        return sorted(records, key=lambda each: each.complexity.params if each.complexity else 0)
    return records


def _trial_row(record: TrialRecord) -> list[str]:
    epochs = f"{len(record.measurements)}/{record.planned_epochs}" if record.plan else ""
    return [
        str(record.number),
        network_text(record),
        format_count(record.complexity.params) if record.complexity else "",
        epochs,
        "" if record.score is None else record.quality.text(record.score),
        state_text(record.state, record.reason_code),
        _took(record.started_at, record.finished_at),
        record.reason,
    ]


def _took(begin: datetime.datetime | None, end: datetime.datetime | None) -> str:
    return f"{(end - begin).total_seconds():.1f}s" if begin and end else ""


def _score(summary: Mapping[str, Any]) -> str:
    """The best score of a study for a person, empty before any."""
    best: float | None = summary["best"]
    return "" if best is None else QUALITIES[summary["objective"][0]].text(best)


def _print_front(ledger: Ledger) -> None:
    """The trials that no other one beats in every objective, best first."""
    front = rank(ledger.front())
    names = ledger.config.objective[1:]
    rows = [
        [
            str(record.number),
            record.family,
            record.quality.text(record.score),
            *(COSTS[name].text(record.costs[name]) for name in names),
        ]
        for record in front
        if record.score is not None
    ]
    print_line("Pareto front:")
    print_table(["#", "family", "val", *names], rows, right=("#", "val", *names))
