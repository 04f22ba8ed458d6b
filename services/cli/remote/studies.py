"""Looking at the studies of a service, and tidying them up: studies, show, trials, delete, restore."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from convscout.services.cli.options import JsonOption, LimitOption, NameArgument, Order, SortOption
from convscout.services.cli.output import print_json, print_line, print_table
from convscout.services.cli.remote.outcome import tell_outcome
from convscout.services.cli.remote.summary import summary
from convscout.services.config.units import format_clock, format_count
from convscout.services.events.wording import network_text, state_text

if TYPE_CHECKING:
    from convscout.services.client import Client
    from convscout.services.schemas.studies import StudySummary, TrialSummary


def studies(client: Client, json: JsonOption = False) -> None:
    """List the studies there."""
    found = client.studies()
    if json:
        print_json([each.model_dump(mode="json") for each in found])
    elif not found:
        begin = f"convscout search --data digits --time 2m --server {client.url}"
        print_line(f"no studies at {client.url} yet; begin with: {begin}")
    else:
        columns = ["study", "data", "status", "trials", "best val", "progress", "ETA"]
        print_table(columns, map(_study_row, found), right=columns[3:])


def show(client: Client, name: NameArgument, json: JsonOption = False) -> None:
    """Show one study there."""
    study = client.study(name)
    if json:
        print_json(study.model_dump(mode="json"))
        return
    print_line(f"study {name} on {study.data}: {study.status}; {summary(study)}")
    print_line(study.message)
    print_line(f"best validation {study.objective[0].replace('_', ' ')}: {_best(study) or 'none yet'}")
    print_line(f"the same search: {study.command}")
    tell_outcome(client.url, study)
    print_line(f"next: {study.next_command} --server {client.url}")


def trials(
    client: Client,
    name: NameArgument,
    sort: SortOption = Order.NUMBER,
    limit: LimitOption = None,
    json: JsonOption = False,
) -> None:
    """List the trials of a study there."""
    found = list(islice(client.trials(name, sort=sort, descending=sort is Order.SCORE), limit))
    if json:
        print_json([each.model_dump(mode="json") for each in found])
        return
    columns = ["#", "family", "params", "epochs", "val", "state", "took", "reason"]
    print_table(columns, map(_trial_row, found), right=("#", "params", "epochs", "val", "took"))


def delete(client: Client, name: NameArgument, json: JsonOption = False) -> None:
    """Delete a study there, for a while in a way that can be undone."""
    gone = client.delete(name)
    if json:
        print_json(gone.model_dump(mode="json"))
    elif gone.deleted_until is None:
        print_line(f"study {name}, which had not begun, is deleted")
    else:
        until = gone.deleted_until.astimezone()
        undo = f"convscout restore {name} --server {client.url}"
        print_line(f"study {name} is deleted; until {until:%Y-%m-%d %H:%M} this undoes it: {undo}")


def restore(client: Client, name: NameArgument, json: JsonOption = False) -> None:
    """Bring back a study that was deleted there."""
    back = client.restore(name)
    if json:
        print_json(back.model_dump(mode="json"))
    else:
        print_line(f"study {name} is back; look at it: convscout show {name} --server {client.url}")


def _study_row(study: StudySummary) -> list[str]:
    return [
        study.name,
        study.data,
        str(study.status),
        str(sum(study.trials.values()) - study.did_not_fit),
        _best(study),
        "" if study.progress is None else f"{study.progress:.0%}",
        "" if study.eta_s is None else format_clock(study.eta_s),
    ]


def _trial_row(trial: TrialSummary) -> list[str]:
    ended, began = trial.finished_at, trial.started_at
    return [
        str(trial.number),
        network_text(trial),
        "" if trial.params is None else format_count(trial.params),
        "" if trial.epochs is None else f"{trial.epoch}/{trial.epochs}",
        trial.score_text,
        state_text(trial.state, trial.reason_code),
        f"{(ended - began).total_seconds():.1f}s" if ended and began else "",
        trial.reason,
    ]


def _best(study: StudySummary) -> str:
    return study.best.text if study.best else ""
