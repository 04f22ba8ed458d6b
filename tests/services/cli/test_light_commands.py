"""Commands that only read a ledger, or write a word into it, import none of what trains, draws or serves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from convscout.services.ensembles.ensemble import Ensemble, EnsembleMember, Score
from convscout.services.evaluation.score_rows import ScoreRow
from convscout.services.evaluation.winner_score import WinnerScore
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies.distilled import DISTILLED_NOTE, Distilled
from convscout.services.studies.outcome import OUTCOME_NOTE, Outcome
from convscout.trials.evaluation.metrics import IntervalEstimate, PairedDifference
from tests.support.sampled import factory, imagine, new_study, smooth, task_of

COMMANDS = (
    ("studies",),
    ("show", "tiny"),
    ("show", "tiny", "--json"),
    ("trials", "tiny", "--sort", "score"),
    ("trials", "tiny", "--json"),
    ("stop", "tiny"),
    ("delete", "tiny"),
    ("restore", "tiny"),
)


def test_commands_that_read_a_ledger_import_nothing_heavy(tmp_path: Path) -> None:
    task = task_of("nsga2")
    ledger = new_study(tmp_path, task)
    for _ in range(3):
        imagine(ledger, task.space, factory(task, "random"), smooth)
    _finish(ledger)
    commands = [[*command, "--home", str(tmp_path)] for command in COMMANDS]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.imported", json.dumps(commands)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = {
        " ".join(command): ended for command, ended in zip(COMMANDS, json.loads(done.stdout), strict=True)
    }
    assert found == {" ".join(command): {"code": 0, "heavy": []} for command in COMMANDS}


def _finish(ledger: Ledger) -> None:
    """Let the study have an ensemble, and a student of it."""
    score = Score(accuracy=0.9, nll=0.3)
    rows = (ScoreRow.of("best single", "test", 0.9, 400), ScoreRow.of("ensemble", "test", 0.9, 400, nll=0.3))
    ensemble = Ensemble(members=(EnsembleMember(number=0, weight=1.0),), score=score, single=score)
    gain = PairedDifference(difference=0.0, low=-0.01, high=0.01, p_value=1.0)
    export = ledger.ref.export
    outcome = Outcome(
        study=ledger.name,
        state_counts={"completed": 3},
        best=0,
        ensemble=ensemble,
        report=rows,
        export=export,
        gain=gain,
        winner=WinnerScore(
            objective="accuracy", trials=3, images=400, score=IntervalEstimate(value=0.9, low=0.8, high=1.0)
        ),
    )
    student = Distilled(
        study=ledger.name,
        family="lenet",
        trial=None,
        params=1000,
        epochs=4,
        rows=rows,
        gains=(gain,),
        export=export,
    )
    ledger.set_note(OUTCOME_NOTE, outcome.to_dict())
    ledger.set_note(DISTILLED_NOTE, student.to_dict())
