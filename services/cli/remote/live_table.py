"""What a person sees of a study that a service runs: a line for an event, or a table of all that matters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from convscout.services.cli.remote.summary import best_line, budgets
from convscout.services.client.event_stream import StudyEvent
from convscout.services.config.units import format_clock
from convscout.services.events.wording import (
    NO_SCORE,
    event_text,
    loading_text,
    network_text,
    notice_text,
    pace_text,
    phase_text,
    time_text,
    trials_text,
    workers_text,
)
from convscout.services.schemas.studies import RunningTrial, StudyDetail, TrialSummary

_WORTH_A_LINE = {"search_started", "trial_ended", "phase", "notice", "pause_started"}
_CHROME_ROWS = 10  # of the terminal that are no trial: headers, rules, notices
_WIDE = 88  # columns of the terminal from which the table has bars


@dataclass(frozen=True)
class Standing:
    """A study and its best trials, the best first, at one moment."""

    study: StudyDetail
    leaders: Sequence[TrialSummary]


def event_line(event: StudyEvent) -> str:
    """The text of the event, empty for what is not worth a line."""
    return event_text(event.kind, event.facts) if event.kind in _WORTH_A_LINE else ""


def picture(standing: Standing, width: int, height: int) -> RenderableType:
    """The study for a terminal of that many columns and rows."""
    study = standing.study
    parts: list[RenderableType] = [*_header(study), Text("")]
    if study.running or standing.leaders:
        parts += [_trials(standing, width, max(3, height - _CHROME_ROWS)), Text("")]
    if study.loading:
        parts.append(Text(loading_text(**vars(study.loading))))
    elif study.phase:
        parts.append(Text(f"{phase_text(study.phase)} …", style="bold"))
    parts += [
        Text(notice_text(text), style="yellow", overflow="ellipsis", no_wrap=True) for text in study.notices
    ]
    return Group(*parts)


def _header(study: StudyDetail) -> list[RenderableType]:
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_column(justify="right", no_wrap=True)
    workers = f" · {workers_text(study.workers)}" if study.workers else ""
    what = Text.assemble((study.name, "bold"), f" · {study.data} · {study.status}{workers}")
    grid.add_row(what, time_text(study.elapsed_s, study.left_s))
    grid.add_row(_best(study), pace_text(study.images_per_s, study.eta_s))
    lines = [trials_text(study.trials.items(), did_not_fit=study.did_not_fit), *budgets(study)]
    return [grid, *(Text(line, no_wrap=True, overflow="ellipsis") for line in lines)]


def _best(study: StudyDetail) -> Text:
    if study.best is None:
        return Text(NO_SCORE, style="dim")
    text = Text(best_line(study.best))
    text.highlight_words([study.best.text], "bold green")
    return text


def _trials(standing: Standing, width: int, rows: int) -> Table:
    """The running trials, then the best of those that ended."""
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    for heading in ("#", "family", "epoch", "val", "ETA"):
        table.add_column(heading, justify="left" if heading == "family" else "right", no_wrap=True)
    table.add_column("state", ratio=1, no_wrap=True, overflow="ellipsis")
    running = standing.study.running[: rows - 2]
    for trial in running:
        table.add_row(*_cells(trial, width))
    best = [each for each in standing.leaders if each.finished_at][: max(0, rows - len(running) - 1)]
    if best:
        table.add_row("", Text("best", style="dim italic"))
    for each in best:
        state = Text.assemble(each.state, (f" {each.reason}", "dim"))
        epochs = f"{each.epoch}/{each.epochs}"
        table.add_row(str(each.number), network_text(each), epochs, each.score_text, "", state)
    return table


def _cells(trial: RunningTrial, width: int) -> list[RenderableType]:
    done: RenderableType = f"{trial.epoch}/{trial.epochs}"
    if width >= _WIDE:
        bar = Table.grid(padding=(0, 1))
        bar.add_row(ProgressBar(total=max(trial.epochs, 1), completed=trial.epoch, width=10), done)
        done = bar
    eta = "" if trial.eta_s is None else format_clock(trial.eta_s)
    return [str(trial.trial), network_text(trial), done, trial.score_text, eta, Text("running", style="cyan")]
