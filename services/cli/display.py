"""What a person sees of a running study: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from convscout.services.cli.output import predict_hint, print_line, print_table
from convscout.services.config.units import format_bytes, format_clock, format_count
from convscout.services.evaluation.score_rows import ENSEMBLE, gain_text
from convscout.services.events.events import Event, Loading, Notice, PhaseStarted, SearchStarted, TrialEnded
from convscout.services.events.facts import facts_of, kind_of
from convscout.services.events.progress import StudyProgress
from convscout.services.events.wording import (
    BEST_SO_FAR,
    NO_SCORE,
    best_text,
    budget_text,
    event_text,
    loading_text,
    network_text,
    notice_text,
    pace_text,
    phase_text,
    summary_text,
    time_text,
    trials_text,
    workers_text,
)
from convscout.services.ledger.trial_record import TrialRecord
from convscout.trials.config import TrialState
from convscout.trials.evaluation.metrics import PairedDifference

if TYPE_CHECKING:
    from convscout.services.config.home import Home
    from convscout.services.studies.distilled import Distilled
    from convscout.services.studies.outcome import Outcome

STYLES = {
    TrialState.RUNNING: "cyan",
    TrialState.COMPLETED: "green",
    TrialState.STOPPED: "yellow",
    TrialState.FAILED: "red",
    TrialState.REJECTED: "dim",
}
PROGRESS_EVERY_S = 10.0
FEW_ROWS = 5
FULL, WIDE, MEDIUM = 104, 88, 60  # columns of the terminal from which the table shows everything, or most
CHROME_ROWS = 10  # of the terminal that are no trial: header, column heads, rules, notices


class Display(Protocol):
    """A listener that is closed when the study is over, however it ended."""

    def __call__(self, event: Event) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def display(console: Console | None = None, *, quiet: bool = False) -> Display:
    """The display that fits: live on a terminal, lines elsewhere, nothing when ``quiet``."""
    console = console or Console()
    if quiet:
        return PlainDisplay(Console(quiet=True))
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)


class PlainDisplay:
    """A line for each trial that ended, and one on progress every ten seconds."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._progress = StudyProgress(clock)
        self._printed_at = clock()

    def __call__(self, event: Event) -> None:
        self._progress.apply(event)
        match event:
            case TrialEnded(trial=trial):
                is_best = self._progress.ranking[:1] == [trial]
                self._print(_text(event) + (f", {BEST_SO_FAR}" if is_best else ""))
            case SearchStarted() | PhaseStarted() | Notice():
                self._print(_text(event))
            case _ if self._clock() - self._printed_at < PROGRESS_EVERY_S:
                pass
            case Loading():
                self._print(loading_text(**vars(event)))
            case _:
                self._print(_summary(self._progress))

    def _print(self, line: str) -> None:
        self._printed_at = self._clock()
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class LiveDisplay:
    """A table that is redrawn in place, a few times a second. Enter it to begin, leave it to let it stand."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._progress = StudyProgress(clock)
        self._lock = threading.Lock()  # the table is drawn by a thread of its own
        self._live = Live(console=console, get_renderable=self.render, refresh_per_second=4)

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._progress.apply(event)

    def render(self) -> RenderableType:
        """The study as it is now, in the width and height there are."""
        with self._lock:
            return _picture(self._progress, self._console.width, self._console.height)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


def print_outcome(console: Console, outcome: Outcome, home: Home) -> None:
    """What a study came to: the scores, where the export lies, and what to type next."""
    following = [
        *([f"report: {home.study(outcome.study).report}"] if outcome.gain else []),
        f"export: {outcome.export}",
        f"browse: convscout ui --home {shlex.quote(str(home.root))}",
        predict_hint(outcome.export),
    ]
    print_scores(console, outcome, following)


def print_scores(console: Console, outcome: Outcome, following: Iterable[str]) -> None:
    """What a study came to: the scores of its ensemble, and the lines that follow."""
    # one space between columns, so that a terminal of 80 shows them all
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for heading in ("", "split", "accuracy", "95 % interval", "log loss", "ECE", "params", "latency"):
        table.add_column(heading, justify="left" if heading in ("", "split") else "right", no_wrap=True)
    for row in outcome.report:
        table.add_row(row.name, row.split, *row.cells, *row.cost_cells)
    console.print()
    console.print(table)
    members = ", ".join(f"trial {member.name} ({member.weight:.0%})" for member in outcome.ensemble.members)
    images = {row.split: f"{row.images:,} {row.split}" for row in outcome.report}
    lines = [
        "",
        f"images: {', '.join(images.values())}",
        *([f"gain: {_gain(outcome.gain)}"] if outcome.gain else []),
        *([f"refitted: {_gain(outcome.refit_gain)}"] if outcome.refit_gain else []),
        *(
            [f"control: {gain_text(outcome.control_gain, ' over the control on the test images')}"]
            if outcome.control_gain
            else []
        ),
        *_calibration(outcome),
        *outcome.corrections,
        trials_text(outcome.state_counts.items(), did_not_fit=outcome.did_not_fit),
        f"ensemble: {members}",
        f"selected by {outcome.ensemble.strategy}{': ' if outcome.ensemble.reason else ''}{outcome.ensemble.reason}",
        *following,
    ]
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def print_distilled(found: Distilled) -> None:
    """What a distillation came to, for a person."""
    like = "" if found.trial is None else f", as trial {found.trial}"
    print_line(f"student: {found.family}, {found.params:,} parameters, {found.epochs} epochs{like}")
    rows = [[row.name, *row.cells] for row in found.rows]
    columns = ["", "test accuracy", "95 % interval", "log loss", "ECE"]
    print_table(columns, rows, right=columns[1:])
    for gain in found.gains:
        print_line(f"the student against its twin: {gain_text(gain)}")
    print_line(f"export: {found.export}")
    print_line(predict_hint(found.export))


def _calibration(outcome: Outcome) -> list[str]:
    """What the temperatures did for the ensemble on the test images."""
    if not outcome.uncalibrated:
        return []
    *_, nll_after, error_after = outcome.row(ENSEMBLE, "test").cells
    nll, error = outcome.uncalibrated
    return [
        f"calibration: log loss {nll:.4f} → {nll_after}, "
        f"calibration error {error:.2%} → {error_after} on the test images"
    ]


def _gain(gain: PairedDifference) -> str:
    return gain_text(gain, " over the best single on the test images")


def _text(event: Event) -> str:
    return event_text(kind_of(event), facts_of(event))


def _summary(progress: StudyProgress) -> str:
    return summary_text(
        elapsed_s=progress.elapsed_s,
        counts=[*progress.counts.items(), (TrialState.RUNNING, len(progress.running))],
        best=_best_text(progress.ranking[0]) if progress.ranking else "",
        images_per_s=progress.images_per_s,
        eta_s=progress.eta_s,
        budgets=_budgets(progress),
    )


def _best_text(best: TrialRecord) -> str:
    return best_text(_score(best), best.number, best.family)


def _budgets(progress: StudyProgress) -> list[str]:
    return [f"{each.name} {budget_text(each.text, each.eta_s)}" for each in progress.spendings]


def _picture(progress: StudyProgress, width: int, height: int) -> RenderableType:
    parts: list[RenderableType] = []
    if progress.search:
        rows = max(3, height - CHROME_ROWS)
        parts += [_header(progress), Text(""), _trials(progress, width, rows), Text("")]
    if progress.loading:
        parts.append(_loading(progress.loading, width))
    elif progress.phase:
        text = phase_text(progress.phase.phase, progress.phase.detail)
        parts.append(Text(f"{text} …", style="bold"))
    parts += [
        Text(notice_text(text), style="yellow", overflow="ellipsis", no_wrap=True)
        for text in progress.notices
    ]
    return Group(*parts)


def _header(progress: StudyProgress) -> RenderableType:
    search = progress.search
    assert search is not None
    first, second = Table.grid(expand=True, padding=(0, 1)), Table.grid(expand=True, padding=(0, 1))
    for grid in (first, second):
        grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_column(justify="right", no_wrap=True)
    workers = workers_text(search.workers, search.executor)
    what = Text.assemble((search.study, "bold"), f" · {search.data} · {workers}")
    first.add_row(what, time_text(progress.elapsed_s, progress.left_s))
    second.add_row(_best(progress), pace_text(progress.images_per_s, progress.eta_s))
    lines = [trials_text(progress.counts.items(), search.trials, search.finished)]
    if progress.spendings:
        lines.append(" · ".join(_budgets(progress)))
    return Group(first, second, *(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))


def _best(progress: StudyProgress) -> Text:
    if not progress.ranking:
        return Text(NO_SCORE, style="dim")
    best = progress.ranking[0]
    text = Text(_best_text(best))
    text.highlight_words([_score(best)], "bold green")
    return text


def _trials(progress: StudyProgress, width: int, rows: int) -> Table:
    """Running trials, then the latest that ended, then the best; as many as fit in ``rows`` lines."""
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("family", no_wrap=True)
    if width >= MEDIUM:
        table.add_column("params", justify="right", no_wrap=True)
    table.add_column("epoch", justify="left" if width >= WIDE else "right", no_wrap=True)
    table.add_column("val", justify="right", no_wrap=True)
    if width >= WIDE:
        table.add_column("images/s", justify="right", no_wrap=True)
        table.add_column("ETA", justify="right", no_wrap=True)
    if width >= FULL:
        table.add_column("memory", justify="right", no_wrap=True)
    table.add_column("state", ratio=1, no_wrap=True, overflow="ellipsis")
    for heading, trials in _groups(progress, rows):
        if heading and trials:
            table.add_row("", Text(heading, style="dim italic"))
        for trial in trials:
            table.add_row(*_cells(trial, progress.trial_eta_s(trial), width))
    return table


def _groups(progress: StudyProgress, rows: int) -> list[tuple[str, list[TrialRecord]]]:
    """What to show in ``rows`` lines; running trials come first, the others share what is left."""
    running = list(progress.running.values())[: rows - 2]
    few = min(FEW_ROWS, max(1, (rows - 2 - len(running)) // 2))
    latest = [trial for trial in progress.ended if trial.trained][-few:]
    best = [trial for trial in progress.ranking if trial.state.scored][:few]
    return [("", running), ("latest", latest[::-1]), ("best", best)]


def _cells(trial: TrialRecord, eta_s: float | None, width: int) -> Iterable[RenderableType]:
    params = format_count(trial.complexity.params) if trial.complexity else ""
    done, epochs = len(trial.measurements), _epochs(trial)
    last = trial.measurements[-1] if trial.measurements else None
    reason = f" {trial.reason}" if trial.reason else f" attempt {trial.attempt}" if trial.attempt > 1 else ""
    cells: list[RenderableType] = [str(trial.number), network_text(trial)]
    if width >= MEDIUM:
        cells.append(params)
    cells.append(_bar(done, epochs) if width >= WIDE else f"{done}/{epochs}")
    cells.append(_score(trial))
    if width >= WIDE:
        cells.append(f"{last.images_per_s:,.0f}" if last else "")
        cells.append("" if eta_s is None else format_clock(eta_s))
    if width >= FULL:
        cells.append(format_bytes(trial.complexity.peak_train_bytes) if trial.complexity else "")
    cells.append(Text.assemble((str(trial.state), STYLES[trial.state]), (reason, "dim")))
    return cells


def _bar(done: int, total: int) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_row(ProgressBar(total=max(total, 1), completed=done, width=10), f"{done}/{total}")
    return grid


def _loading(loading: Loading, width: int) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=max(loading.total, 1), completed=loading.done, width=min(30, width // 3))
    grid.add_row(bar, Text(loading_text(**vars(loading))))
    return grid


def _score(trial: TrialRecord) -> str:
    return "" if trial.score is None else trial.quality.text(trial.score)


def _epochs(trial: TrialRecord) -> int:
    return trial.planned_epochs
