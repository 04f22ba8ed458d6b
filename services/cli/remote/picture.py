"""What a person sees of a study that a service runs: a line for an event, or a table of all that matters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from services.client.event_stream import StudyEvent
from services.control.views import RunningTrial, StudyDetail, TrialSummary
from services.phases import PHASES
from services.units import format_clock

_CHROME_ROWS = 10  # of the terminal that are no trial: headers, rules, notices
_WIDE = 88  # columns of the terminal from which the table has bars


@dataclass(frozen=True)
class Standing:
    """A study and its best trials, the best first, at one moment."""

    study: StudyDetail
    leaders: Sequence[TrialSummary]


def event_line(event: StudyEvent) -> str:
    """What happened, empty for what is not worth a line."""
    facts = event.facts
    match event.kind:
        case "search_started":
            return f"study {facts['study']} on {facts['data']}: {_workers(facts['workers'])} ({facts['executor']})"
        case "trial_ended":
            parts = [f"trial {facts['trial']} {facts['state']}: {facts['family']}"]
            parts += [f"validation {facts['score_text']}"] if facts.get("score_text") else []
            parts += [facts["reason"]] if facts["reason"] else []
            return ", ".join(parts)
        case "phase":
            return _phase(facts["phase"], facts["detail"])
        case "notice":
            return f"note: {facts['text']}"
    return ""


def summary(study: StudyDetail) -> str:
    """How the study stands, in a line."""
    parts = [format_clock(study.elapsed_s)]
    if study.loading:
        parts.append(f"{study.loading.description}: {study.loading.done:,} of {study.loading.total:,}")
    parts += [f"{count} {state}" for state, count in study.trials.items()]
    if study.best:
        parts.append(f"best {study.best.text} (trial {study.best.trial}, {study.best.family})")
    if study.images_per_s:
        parts.append(f"{study.images_per_s:,.0f} images/s")
    if study.progress is not None:
        parts.append(f"{study.progress:.0%} of the budget")
    if study.eta_s is not None:
        parts.append(f"{format_clock(study.eta_s)} to go")
    return ", ".join([*parts, *(f"{each.name} {each.text}" for each in study.budgets)])


def picture(standing: Standing, width: int, height: int) -> RenderableType:
    """The study for a terminal of that many columns and rows."""
    study = standing.study
    parts: list[RenderableType] = [*_header(study), Text("")]
    if study.running or standing.leaders:
        parts += [_trials(standing, width, max(3, height - _CHROME_ROWS)), Text("")]
    if study.loading:
        done = f"{study.loading.done:,}/{study.loading.total:,}"
        parts.append(Text(f"{study.loading.description} {done}"))
    elif study.phase:
        parts.append(Text(f"{_phase(study.phase, '')} …", style="bold"))
    parts += [
        Text(f"note: {text}", style="yellow", overflow="ellipsis", no_wrap=True) for text in study.notices
    ]
    return Group(*parts)


def _header(study: StudyDetail) -> list[RenderableType]:
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_column(justify="right", no_wrap=True)
    workers = f" · {_workers(study.workers)}" if study.workers else ""
    left = "" if study.left_s is None else f", {format_clock(study.left_s)} left"
    what = Text.assemble((study.name, "bold"), f" · {study.data} · {study.status}{workers}")
    grid.add_row(what, f"{format_clock(study.elapsed_s)}{left}")
    speed = f"{study.images_per_s or 0:,.0f} images/s"
    eta = "" if study.eta_s is None else f", ETA {format_clock(study.eta_s)}"
    grid.add_row(_best(study), f"{speed}{eta}")
    counts = ", ".join(f"{count} {state}" for state, count in study.trials.items()) or "none yet"
    lines = [f"trials: {counts}", *(f"{each.name} {each.text}" for each in study.budgets)]
    return [grid, *(Text(line, no_wrap=True, overflow="ellipsis") for line in lines)]


def _best(study: StudyDetail) -> Text:
    if study.best is None:
        return Text("no score yet", style="dim")
    where = f" (trial {study.best.trial}, {study.best.family})"
    return Text.assemble("best ", (study.best.text, "bold green"), where)


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
        table.add_row(str(each.number), each.family, epochs, each.score_text, "", state)
    return table


def _cells(trial: RunningTrial, width: int) -> list[RenderableType]:
    done: RenderableType = f"{trial.epoch}/{trial.epochs}"
    if width >= _WIDE:
        bar = Table.grid(padding=(0, 1))
        bar.add_row(ProgressBar(total=max(trial.epochs, 1), completed=trial.epoch, width=10), done)
        done = bar
    eta = "" if trial.eta_s is None else format_clock(trial.eta_s)
    return [str(trial.trial), trial.family, done, trial.score_text, eta, Text("running", style="cyan")]


def _phase(phase: str, detail: str) -> str:
    return PHASES.get(phase, phase) + (f": {detail}" if detail else "")


def _workers(count: int) -> str:
    return f"{count} worker{'' if count == 1 else 's'}"
