"""Looking at studies, and tidying them up: studies, show, trials, sync, delete, restore."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from services.cli.distil import tell_distilled
from services.cli.options import (
    HomeOption,
    JsonOption,
    LimitOption,
    NameArgument,
    Order,
    SortOption,
    StorageOption,
)
from services.cli.output import print_json, print_line, print_table
from services.cli.remote import studies as remote
from services.cli.remote.routing import served_by
from services.home import Home
from services.study_status import StudyStatus
from services.units import format_count

if TYPE_CHECKING:
    from services.control.studies import StudyState
    from services.distilling import Distilled
    from services.finish import Outcome
    from services.study import Ledger
    from services.trial_record import TrialRecord

PANEL = "Look at studies"


def add_to(app: typer.Typer) -> None:
    """Make the commands of this file known."""
    app.command("studies", rich_help_panel=PANEL)(studies)
    app.command("show", rich_help_panel=PANEL)(show)
    app.command("trials", rich_help_panel=PANEL)(trials)
    app.command("sync", rich_help_panel=PANEL)(sync)
    app.command("delete", rich_help_panel=PANEL)(delete)
    app.command("restore", rich_help_panel=PANEL)(restore)


@served_by(remote.studies)
def studies(home: HomeOption = None, storage: StorageOption = None, json: JsonOption = False) -> None:
    """List the studies under the home.

    Example: convscout studies --json
    """
    from services.control.studies import states_on_disk
    from services.study import Ledger

    at = Home.at(home, storage)
    summaries = [_summary(state) for state in states_on_disk(at, Ledger.names(at))]
    if json:
        print_json(summaries)
    elif not summaries:
        print_line(f"no studies under {at.root} yet; begin with: convscout search --data digits --time 2m")
    else:
        rows = [
            [
                each["name"],
                each["data"],
                each["status"],
                str(sum(each["trials"].values())),
                _score(each),
            ]
            for each in summaries
        ]
        print_table(["study", "data", "status", "trials", "best val"], rows, right=("trials", "best val"))


@served_by(remote.show)
def show(
    name: NameArgument, home: HomeOption = None, storage: StorageOption = None, json: JsonOption = False
) -> None:
    """Show one study: what was asked, what came of it, where it lies.

    Example: convscout show quickstart
    """
    from services.control.studies import states_on_disk
    from services.distilling import stored_distilled
    from services.finish import stored_outcome
    from services.study import Ledger

    at = Home.at(home, storage)
    Ledger.require(at, name)
    (state,) = states_on_disk(at, [name])
    ledger = state.ledger
    assert ledger is not None
    summary, outcome, distilled = _summary(state), stored_outcome(ledger), stored_distilled(ledger)
    if json:
        parts = {
            "config": ledger.config.to_dict(),
            "outcome": outcome.to_dict() if outcome else None,
            "distilled": distilled.to_dict() if distilled else None,
        }
        print_json({**summary, **parts})
        return
    counts = ", ".join(f"{count} {state}" for state, count in summary["trials"].items()) or "none yet"
    print_line(f"study {name} on {summary['data']}: {summary['status']}; trials: {counts}")
    print_line(summary["message"])
    quality = summary["objective"][0].replace("_", " ")
    print_line(f"best validation {quality}: {_score(summary) or 'none yet'}")
    if len(summary["objective"]) > 1:
        _print_front(ledger)
    print_line(f"directory: {summary['directory']}")
    if outcome:
        _print_results(outcome, distilled, at)
    print_line(f"next: {summary['next_command']}")


@served_by(remote.trials)
def trials(
    name: NameArgument,
    sort: SortOption = Order.NUMBER,
    limit: LimitOption = None,
    home: HomeOption = None,
    storage: StorageOption = None,
    json: JsonOption = False,
) -> None:
    """List the trials of a study.

    Example: convscout trials quickstart --sort score --limit 10
    """
    from services.study import Ledger

    records = _sorted(Ledger.open(Home.at(home, storage), name).trials(), sort)[:limit]
    if json:
        print_json([record.to_dict() for record in records])
        return
    columns = ["#", "family", "params", "epochs", "val", "state", "took", "reason"]
    print_table(columns, [_row(record) for record in records], right=("#", "params", "epochs", "val", "took"))


def sync(
    name: NameArgument, home: HomeOption = None, storage: StorageOption = None, json: JsonOption = False
) -> None:
    """Bring MLflow up to date with a study that is not running, e.g. after its tracking server was away.

    Example: convscout sync quickstart
    """
    from services import runner
    from services.display import display

    with display(quiet=json) as listener:
        behind = runner.sync(Home.at(home, storage), name, listener)
    if json:
        print_json({"study": name, "behind": behind})
    else:
        print_line(f"MLflow has all of study {name}; it lacked {behind} trial(s)")


@served_by(remote.delete)
def delete(
    name: NameArgument, home: HomeOption = None, storage: StorageOption = None, json: JsonOption = False
) -> None:
    """Delete a study that does not run. For a week, `restore` brings it back.

    Example: convscout delete quickstart
    """
    from services import deletion

    at = Home.at(home, storage)
    deletion.purge(at)
    until = deletion.delete(at, name).astimezone()
    if json:
        print_json({"study": name, "deleted_until": until.isoformat()})
    else:
        print_line(
            f"study {name} is deleted; until {until:%Y-%m-%d %H:%M} this undoes it: convscout restore {name}"
        )


@served_by(remote.restore)
def restore(
    name: NameArgument, home: HomeOption = None, storage: StorageOption = None, json: JsonOption = False
) -> None:
    """Bring back a study that was deleted less than a week ago.

    Example: convscout restore quickstart
    """
    from services import deletion

    deletion.restore(Home.at(home, storage), name)
    if json:
        print_json({"study": name, "restored": True})
    else:
        print_line(f"study {name} is back; look at it: convscout show {name}")


def _print_results(outcome: Outcome, distilled: Distilled | None, home: Home) -> None:
    from rich.console import Console

    from services.display import print_outcome

    print_outcome(Console(), outcome, home)
    if distilled:
        print_line("")
        tell_distilled(distilled)
        print_line("")


def _summary(state: StudyState) -> dict[str, Any]:
    shown, directory = state.summary(), state.reader.home.study(state.reader.name)
    return {
        "name": shown.name,
        "data": shown.data,
        "status": shown.status,
        "message": shown.message,
        "next_command": _next_command(state, directory),
        "trials": shown.trials,
        "objective": shown.objective,
        "best": shown.best.score if shown.best else None,
        "directory": str(directory),
    }


def _next_command(state: StudyState, directory: Path) -> str:
    """What to type next on this machine, where `predict` is told an export and every other command a home."""
    command = state.next_command(model=shlex.quote(str(directory / "export")))
    if state.status is StudyStatus.FINISHED:
        return command
    return f"{command} --home {shlex.quote(str(state.reader.home.root))}"


def _sorted(records: list[TrialRecord], order: Order) -> list[TrialRecord]:
    if order is Order.SCORE:
        return sorted(records, key=lambda each: -each.goodness)
    if order is Order.PARAMS:
        return sorted(records, key=lambda each: each.complexity.params if each.complexity else 0)
    return records


def _row(record: TrialRecord) -> list[str]:
    epochs = f"{len(record.measurements)}/{record.config.recipe.epochs}" if record.config else ""
    return [
        str(record.number),
        record.family,
        format_count(record.complexity.params) if record.complexity else "",
        epochs,
        "" if record.score is None else record.quality.text(record.score),
        str(record.state),
        _took(record.started_at, record.finished_at),
        record.reason,
    ]


def _took(begin: datetime.datetime | None, end: datetime.datetime | None) -> str:
    return f"{(end - begin).total_seconds():.1f}s" if begin and end else ""


def _score(summary: Mapping[str, Any]) -> str:
    """The best score of a study for a person, empty before any."""
    from trials.qualities import QUALITIES

    best: float | None = summary["best"]
    return "" if best is None else QUALITIES[summary["objective"][0]].text(best)


def _print_front(ledger: Ledger) -> None:
    """The trials that no other one beats in every objective, best first."""
    from services.objectives import COSTS

    front = sorted(ledger.front(), key=lambda record: -record.goodness)
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
