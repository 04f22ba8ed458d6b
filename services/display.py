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

from services.board import Board
from services.events import Event, Loading, Notice, PhaseStarted, SearchStarted, Spending, TrialEnded
from services.judging import ENSEMBLE, gain_text
from services.phases import PHASES
from services.trial_record import TrialRecord
from services.units import format_bytes, format_clock, format_count
from trials.config import TrialState
from trials.metrics import PairedDifference

if TYPE_CHECKING:
    from services.finish import Outcome
    from services.home import Home

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
        self._board = Board(clock)
        self._said_at = clock()

    def __call__(self, event: Event) -> None:
        self._board.apply(event)
        match event:
            case SearchStarted():
                self._say(_title(event))
            case TrialEnded(trial=trial):
                is_best = self._board.ranking[:1] == [trial]
                self._say(_ended_line(trial) + (", the best so far" if is_best else ""))
            case PhaseStarted(phase=phase, detail=detail):
                self._say(PHASES.get(phase, phase) + (f": {detail}" if detail else ""))
            case Notice(text=text):
                self._say(f"note: {text}")
            case _ if self._clock() - self._said_at >= PROGRESS_EVERY_S:
                self._say(_loading_line(event) if isinstance(event, Loading) else _summary(self._board))

    def _say(self, line: str) -> None:
        self._said_at = self._clock()
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
        self._board = Board(clock)
        self._lock = threading.Lock()  # the table is drawn by a thread of its own
        self._live = Live(console=console, get_renderable=self.render, refresh_per_second=4)

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._board.apply(event)

    def render(self) -> RenderableType:
        """The board as it is now, in the width and height there are."""
        with self._lock:
            return _picture(self._board, self._console.width, self._console.height)

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
        *([f"report: {home.report(outcome.study)}"] if outcome.gain else []),
        f"export: {outcome.export}",
        f"browse: convscout ui --home {shlex.quote(str(home.root))}",
        f"predict: convscout predict {shlex.quote(str(outcome.export))} IMAGE.png",
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
        *_calibration(outcome),
        f"trials: {_counted(outcome.state_counts.items())}",
        f"ensemble: {members}",
        f"selected by {outcome.ensemble.strategy}{': ' if outcome.ensemble.reason else ''}{outcome.ensemble.reason}",
        *following,
    ]
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


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


def _title(search: SearchStarted) -> str:
    bounds = []
    if search.trials is not None:
        bounds.append(f"{search.trials:,} trials")
    if search.deadline_s is not None:
        bounds.append(f"{format_clock(search.deadline_s)} left")
    plural = "" if search.workers == 1 else "s"
    done = f", {search.finished} trained before" if search.finished else ""
    workers = f"{search.workers} worker{plural} ({search.executor})"
    return f"study {search.study} on {search.data}: {workers}, {' and '.join(bounds) or 'no bound'}{done}"


def _summary(board: Board) -> str:
    parts = [f"{format_clock(board.elapsed_s)}: {len(board.ended)} ended", f"{len(board.running)} running"]
    if board.ranking:
        best = board.ranking[0]
        parts.append(f"best {_score(best)} (trial {best.number}, {best.family})")
    if board.images_per_s:
        parts.append(f"{board.images_per_s:,.0f} images/s")
    if board.eta_s is not None:
        parts.append(f"{format_clock(board.eta_s)} to go")
    parts += map(_spending, board.spendings)
    return ", ".join(parts)


def _spending(spending: Spending) -> str:
    eta = "" if spending.eta_s is None else f" (ETA {format_clock(spending.eta_s)})"
    return f"{spending.name} {spending.text}{eta}"


def _ended_line(trial: TrialRecord) -> str:
    parts = [f"trial {trial.number} {trial.state}" + (f": {trial.family}" if trial.config else "")]
    if trial.complexity:
        parts.append(f"{format_count(trial.complexity.params)} parameters")
    if trial.best:
        parts.append(f"validation {_score(trial)} at epoch {trial.best.epoch} of {_epochs(trial)}")
    if trial.reason:
        parts.append(trial.reason)
    return ", ".join(parts)


def _loading_line(event: Loading) -> str:
    return f"{event.description}: {event.done:,} of {event.total:,}"


def _picture(board: Board, width: int, height: int) -> RenderableType:
    parts: list[RenderableType] = []
    if board.search:
        rows = max(3, height - CHROME_ROWS)
        parts += [_header(board), Text(""), _trials(board, width, rows), Text("")]
    if board.loading:
        parts.append(_loading(board.loading, width))
    elif board.phase:
        detail = f": {board.phase.detail}" if board.phase.detail else ""
        parts.append(Text(f"{PHASES.get(board.phase.phase, board.phase.phase)}{detail} …", style="bold"))
    parts += [
        Text(f"note: {text}", style="yellow", overflow="ellipsis", no_wrap=True) for text in board.notices
    ]
    return Group(*parts)


def _header(board: Board) -> RenderableType:
    search = board.search
    assert search is not None
    first, second = Table.grid(expand=True, padding=(0, 1)), Table.grid(expand=True, padding=(0, 1))
    for grid in (first, second):
        grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_column(justify="right", no_wrap=True)
    left = "" if board.left_s is None else f", {format_clock(board.left_s)} left"
    what = Text.assemble((search.study, "bold"), f" · {search.data} · {search.executor} × {search.workers}")
    first.add_row(what, f"{format_clock(board.elapsed_s)}{left}")
    counted = _counted((str(state), count) for state, count in board.counts.items())
    of = "" if search.trials is None else f" of {search.trials:,}"
    before = f", {search.finished} before" if search.finished else ""
    eta = "" if board.eta_s is None else f", ETA {format_clock(board.eta_s)}"
    second.add_row(_best(board), f"{board.images_per_s:,.0f} images/s{eta}")
    lines = [f"trials{of}: {counted}{before}"]
    if board.spendings:
        lines.append(" · ".join(map(_spending, board.spendings)))
    return Group(first, second, *(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))


def _best(board: Board) -> Text:
    if not board.ranking:
        return Text("no score yet", style="dim")
    best = board.ranking[0]
    return Text.assemble("best ", (_score(best), "bold green"), f" (trial {best.number}, {best.family})")


def _trials(board: Board, width: int, rows: int) -> Table:
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
    for heading, trials in _groups(board, rows):
        if heading and trials:
            table.add_row("", Text(heading, style="dim italic"))
        for trial in trials:
            table.add_row(*_cells(trial, board.trial_eta_s(trial), width))
    return table


def _groups(board: Board, rows: int) -> list[tuple[str, list[TrialRecord]]]:
    """What to show in ``rows`` lines; running trials come first, the others share what is left."""
    running = list(board.running.values())[: rows - 2]
    few = min(FEW_ROWS, max(1, (rows - 2 - len(running)) // 2))
    latest = [trial for trial in board.ended if trial.trained][-few:]
    best = [trial for trial in board.ranking if trial.state.judged][:few]
    return [("", running), ("latest", latest[::-1]), ("best", best)]


def _cells(trial: TrialRecord, eta_s: float | None, width: int) -> Iterable[RenderableType]:
    params = format_count(trial.complexity.params) if trial.complexity else ""
    done, epochs = len(trial.measurements), _epochs(trial)
    last = trial.measurements[-1] if trial.measurements else None
    reason = f" {trial.reason}" if trial.reason else f" attempt {trial.attempt}" if trial.attempt > 1 else ""
    cells: list[RenderableType] = [str(trial.number), trial.family]
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
    grid.add_row(Text(loading.description), bar, f"{loading.done:,}/{loading.total:,}")
    return grid


def _score(trial: TrialRecord) -> str:
    return "" if trial.score is None else trial.quality.text(trial.score)


def _epochs(trial: TrialRecord) -> int:
    return trial.config.recipe.epochs if trial.config else 0


def _counted(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts if count) or "none yet"
