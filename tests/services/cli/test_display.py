"""What a person sees of a study fits the window and says what there is to say."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from convscout.services.cli.display import Display, LiveDisplay, PlainDisplay, display, print_outcome
from convscout.services.config.home import Home
from convscout.services.ensembles.ensemble import Ensemble, EnsembleMember, Score
from convscout.services.evaluation.score_rows import ScoreRow
from convscout.services.evaluation.winner_score import WinnerScore
from convscout.services.events.events import Loading, Notice, PhaseStarted, SearchStarted
from convscout.services.studies.outcome import Outcome
from convscout.trials.config import TrialState
from convscout.trials.evaluation.metrics import IntervalEstimate, PairedDifference
from tests.services.events.test_progress import Clock
from tests.support.records import life, record, search_started


def console(width: int, height: int = 30, *, terminal: bool = True) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=width, height=height, color_system=None)


def written(target: Console) -> str:
    file = target.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def tell(listener: Display) -> None:
    """A short study: two trials ended, one failed, one runs, one note."""
    listener(search_started())
    endings = [
        record(0, 0.6, 0.91, state=TrialState.COMPLETED, family="vgg"),
        record(1, 0.5, state=TrialState.STOPPED, reason="asha at epoch 1"),
        record(
            2, state=TrialState.FAILED, reason="DivergedError: the loss became NaN at epoch 1 and stayed so"
        ),
    ]
    for ended in endings:
        for event in life(ended):
            listener(event)
    for event in life(record(3, 0.4, 0.7, state=TrialState.COMPLETED, family="resnet"))[:-1]:
        listener(event)
    listener(Notice(text="a worker was lost; trial 3 goes on from epoch 1"))


def picture(width: int, height: int = 30) -> list[str]:
    """The lines of the live table after the short study."""
    target = console(width, height)
    live = LiveDisplay(target, Clock())
    tell(live)
    target.print(live.render())
    return written(target).splitlines()


def test_the_live_table_says_everything_on_a_wide_terminal() -> None:
    text = "\n".join(picture(110))
    for part in (
        "quickstart · digits · 2 workers (ray)",
        "2m 00s left",
        "the best so far: 91.00% (trial 0, vgg)",
        "1,000 images/s",
        "trials of 30: 1 completed, 1 stopped, 1 failed",
        "61.7k",
        "2/10",
        "8s",
        "1 B",
        "asha at epoch 1",
        "note: a worker was lost",
    ):
        assert part in text
    assert text.index("resnet") < text.index("latest") < text.rindex("best")


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_the_live_table_never_breaks_a_line(width: int) -> None:
    lines = picture(width)
    assert max(map(len, lines)) <= width
    assert len(lines) == len(picture(200))


def test_the_live_table_fits_the_height() -> None:
    target = console(100, height=20)
    live = LiveDisplay(target, Clock())
    live(search_started())
    for number in range(100):
        ended = record(number, number / 100, state=TrialState.COMPLETED)
        for event in life(ended)[: None if number < 60 else -1]:
            live(event)
    target.print(live.render())
    assert len(written(target).splitlines()) <= 20


def test_a_real_live_display_ends_with_the_last_table() -> None:
    target = console(100)
    with LiveDisplay(target) as live:
        tell(live)
    assert "trials of 30: 1 completed, 1 stopped, 1 failed" in written(target)


def test_reading_data_and_later_phases_are_shown() -> None:
    target = console(80)
    live = LiveDisplay(target, Clock())
    live(PhaseStarted(phase="data", detail="folder:flowers"))
    target.print(live.render())
    live(Loading(description="decoding [a]", done=1500, total=6000))
    target.print(live.render())
    live(PhaseStarted(phase="export", detail="/runs/export"))
    target.print(live.render())
    assert "reading the data: folder:flowers" in written(target)
    assert "decoding [a]: 1,500 of 6,000" in written(target)
    assert "exporting and verifying: /runs/export" in written(target)


def test_off_a_terminal_there_is_a_line_a_trial() -> None:
    target = console(60, terminal=False)
    tell(PlainDisplay(target, Clock()))
    assert written(target).splitlines() == [
        "study quickstart on digits: 2 workers (ray), 30 trials and 2m 00s left",
        "trial 0 completed: vgg, 61.7k parameters, validation 91.00% at epoch 2 of 10, the best so far",
        "trial 1 stopped: lenet, 61.7k parameters, validation 50.00% at epoch 1 of 10, asha at epoch 1",
        "trial 2 failed: lenet, 61.7k parameters, DivergedError: the loss became NaN at epoch 1 and stayed so",
        "note: a worker was lost; trial 3 goes on from epoch 1",
    ]


def test_off_a_terminal_progress_comes_every_ten_seconds() -> None:
    target, clock = console(60, terminal=False), Clock()
    plain = PlainDisplay(target, clock)
    plain(search_started(deadline_s=None))
    for event in life(record(0, *(0.1 * n for n in range(1, 9)), state=TrialState.COMPLETED)):
        clock.now += 4
        plain(event)
    progress = [line for line in written(target).splitlines() if "running" in line]
    assert progress[0] == "12s: 1 running, the best so far: 20.00% (trial 0, lenet), 1,000 images/s"
    assert len(progress) == 3


def test_the_display_fits_where_it_is_shown() -> None:
    assert isinstance(display(console(80)), LiveDisplay)
    assert isinstance(display(console(80, terminal=False)), PlainDisplay)


def test_a_quiet_display_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with display(quiet=True) as listener:
        tell(listener)
    assert capsys.readouterr() == ("", "")


def test_names_are_never_taken_for_markup() -> None:
    target = console(80)
    live = LiveDisplay(target, Clock())
    live(SearchStarted(**{**vars(search_started()), "data": "folder:/a/[red]b[/red]"}))
    live(Notice(text="[bold]careful[/bold]"))
    target.print(live.render())
    assert "[red]b[/red]" in written(target)
    assert "[bold]careful[/bold]" in written(target)


def test_the_outcome_shows_scores_intervals_and_what_to_type_next() -> None:
    target = console(100)
    score = Score(accuracy=0.97, nll=0.1)
    outcome = Outcome(
        study="quickstart",
        state_counts={"completed": 4, "stopped": 8, "rejected": 3},
        did_not_fit=3,
        best=3,
        ensemble=Ensemble(
            members=(EnsembleMember(number=3, weight=0.6), EnsembleMember(number=7, weight=0.4)),
            score=score,
            single=score,
            strategy="weighted",
            reason="the best of three",
        ),
        report=(
            ScoreRow.of("best single", "test", 0.95, 400),
            ScoreRow.of("ensemble", "test", 0.97, 400, nll=0.1, calibration_error=0.015),
        ),
        export=Path("/runs/my studies/export"),
        gain=PairedDifference(difference=0.02, low=0.005, high=0.0351, p_value=0.012),
        winner=WinnerScore(
            objective="accuracy",
            trials=12,
            images=143,
            score=IntervalEstimate(value=0.94, low=0.9, high=0.97),
            first=0,
            gain=IntervalEstimate(value=0.01, low=-0.02, high=0.03),
        ),
    )
    print_outcome(target, outcome, Home(Path("/runs")))
    lines = written(target).splitlines()
    assert ["ensemble", "test", "97.00%", "94.83%", "–", "98.28%", "0.1000", "1.50%"] in [
        line.split() for line in lines
    ]
    assert lines[-10:] == [
        "gain: +2.00 points over the best single on the test images (95 %: +0.50 to +3.51; McNemar p = 0.012)",
        "best single, corrected for its choice among 12 trials: validation accuracy 94.00% (95 %: 90.00% to 97.00%)",
        "the best trial cannot be told from the first (trial 0) on 143 validation images: more images, not more "
        "trials, would show a difference",
        "trials: 4 completed, 8 stopped, 3 candidates did not fit",
        "ensemble: trial 3 (60%), trial 7 (40%)",
        "selected by weighted: the best of three",
        "report: /runs/studies/quickstart/report",
        "export: /runs/my studies/export",
        "browse: convscout ui --home /runs",
        "predict: convscout predict '/runs/my studies/export' IMAGE.png",
    ]
