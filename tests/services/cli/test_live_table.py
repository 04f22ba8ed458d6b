"""What a person sees of a study of a service has the words that a study of this machine has."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from convscout.services.cli.display import PlainDisplay
from convscout.services.cli.remote.live_table import Standing, event_line, picture
from convscout.services.cli.remote.summary import summary
from convscout.services.client.event_stream import StudyEvent
from convscout.services.events.events import Loading, Notice, PhaseStarted, TrialStarted
from convscout.services.events.facts import facts_of, kind_of
from convscout.services.schemas.studies import Best, BudgetStatus, LoadingProgress, RunningTrial, StudyDetail
from convscout.services.schemas.study_status import StudyStatus
from convscout.trials.config import TrialState
from tests.services.events.test_progress import Clock
from tests.support.records import life, record, search_started


@pytest.fixture
def study() -> StudyDetail:
    return StudyDetail(
        name="far",
        data="digits",
        status=StudyStatus.RUNNING,
        message="a process runs it",
        next_command="convscout trials far",
        priority=0,
        queue_position=None,
        objective=["accuracy"],
        best=Best(trial=7, family="vgg", score=0.91, text="91.00%"),
        trials={"completed": 2, "running": 1},
        progress=0.4,
        eta_s=30.0,
        elapsed_s=65.0,
        created_at=None,
        error="",
        actions=[],
        version="1",
        phase="",
        loading=None,
        left_s=90.0,
        workers=1,
        images_per_s=1000.0,
        running=[
            RunningTrial(trial=8, family="nin", epoch=1, epochs=9, score=0.5, score_text="50.00%", eta_s=8.0)
        ],
        budgets=[BudgetStatus(name="epochs", text="3 of 9", eta_s=60.0)],
        notices=["a worker was lost"],
        config={},
        command="",
        toml="",
        outcome=None,
        directory="",
        mlflow=None,
    )


def table(study: StudyDetail, width: int) -> str:
    console = Console(file=(file := io.StringIO()), width=width, height=30, color_system=None)
    console.print(picture(Standing(study, []), width, 30))
    return file.getvalue()


def test_an_event_of_a_service_is_the_line_that_the_terminal_prints() -> None:
    events = [
        PhaseStarted(phase="data", detail="digits"),
        search_started(),
        *life(record(0, state=TrialState.FAILED, reason="the loss became NaN")),
        Notice(text="a worker was lost"),
    ]
    file = io.StringIO()
    terminal = PlainDisplay(Console(file=file, width=60), Clock())
    for event in events:
        terminal(event)
    lines = [event_line(StudyEvent(id="", kind=kind_of(each), facts=facts_of(each))) for each in events]
    assert [line for line in lines if line] == file.getvalue().splitlines()


def test_events_between_are_not_worth_a_line() -> None:
    for event in (TrialStarted(trial=record(0)), Loading(description="decoding", done=1, total=2)):
        assert not event_line(StudyEvent(id="", kind=kind_of(event), facts=facts_of(event)))


def test_the_table_shows_how_the_study_stands(study: StudyDetail) -> None:
    shown = table(study, 100)
    for part in (
        "far · digits · running · 1 worker",
        "1m 05s, 1m 30s left",
        "the best so far: 91.00% (trial 7, vgg)",
        "1,000 images/s, 30s to go",
        "trials: 2 completed, 1 running",
        "epochs 3 of 9 (used up in 1m 00s)",
        "note: a worker was lost",
    ):
        assert part in shown
    assert max(map(len, table(study, 40).splitlines())) <= 40
    assert "no score yet" in table(study.model_copy(update={"best": None}), 100)


def test_the_phase_and_what_is_read_have_their_names(study: StudyDetail) -> None:
    assert "selecting the ensemble …" in table(study.model_copy(update={"phase": "ensemble"}), 100)
    loading = {"loading": LoadingProgress(description="decoding", done=1500, total=6000)}
    assert "decoding: 1,500 of 6,000" in table(study.model_copy(update=loading), 100)
    assert summary(study.model_copy(update=loading)) == "decoding: 1,500 of 6,000"


def test_the_summary_is_one_line(study: StudyDetail) -> None:
    assert summary(study) == (
        "1m 05s: 2 completed, 1 running, the best so far: 91.00% (trial 7, vgg), 1,000 images/s, "
        "40% of the budget used, 30s to go, epochs 3 of 9 (used up in 1m 00s)"
    )
