"""Distilling: one small network that learns what the ensemble answers, beside its twin that learns the labels.

The student is told the ensemble's answer to every augmented image, the very image that it is shown (Beyer et al., 2022,
"Knowledge distillation: a good teacher is patient and consistent", section 3.1). Answers are flattened by a
temperature, so that the student learns which wrong classes are nearly right (Hinton, Vinyals, Dean, 2015, "Distilling
the knowledge in a neural network", section 2); its own temperature is fitted in the end.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from search_space.errors import ConvscoutError, StudyInterrupted
from services.ensembles.gathering import Gathering
from services.ensembles.temperature import fitted_temperature, tempered
from services.ensembles.trained import TrainedEnsemble, TrainedMember
from services.evaluation import Evaluation
from services.events import Listener, PhaseStarted
from services.executors.cluster import surveyed
from services.exporting import default_formats, export
from services.finish import Finish, Outcome, open_test, stored_outcome
from services.home import Home
from services.interrupts import Interrupts
from services.judging import ENSEMBLE, ScoreRow
from services.runner import owned, same_data, study_space
from services.students import AUTO, Student, choose_student
from services.study import Ledger
from services.trainings import Training, train
from trials.batches import TrainingData
from trials.checkpoint import TrialDirectory
from trials.config import TrialConfig
from trials.metrics import PairedDifference, paired_difference
from trials.splits import DataSplits
from trials.views import PLAIN

DISTILLED, LABELS = "distilled", "labels alone"
DISTILLED_NOTE = "distilled"
FLATTENING = 2.0  # the temperature of the teacher's answers
PATIENCE = 2  # times the epochs of a trial of the study
_SEED_STEP = 7_919


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a person wants: a student of ``family``, or ``auto``, with so many ``params`` at most; trained how.

    ``epochs`` None leaves them open. Each of ``seeds`` trains one student and, with ``twins``, one on labels alone. No
    training is begun that would not end within ``time_s`` seconds.
    """

    family: str = AUTO
    params: int = 300_000
    epochs: int | None = None
    seeds: int = 1
    twins: bool = True
    time_s: float = math.inf


@dataclass(frozen=True, kw_only=True)
class Distilled:
    """What came of it: the student's ``family``, ``params`` and ``epochs``, and the ``trial`` that it is like, if any.

    ``rows`` are the test scores of the teacher, of each student and of each twin; ``gains`` is what each student
    answers better than its twin. ``export`` holds the student that is best on the validation images.
    """

    study: str
    family: str
    trial: int | None
    params: int
    epochs: int
    rows: tuple[ScoreRow, ...]
    gains: tuple[PairedDifference, ...]
    export: Path

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "export": str(self.export)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Distilled:
        """The inverse of ``to_dict``."""
        parts = {
            "rows": tuple(ScoreRow(**row) for row in values["rows"]),
            "gains": tuple(PairedDifference(**gain) for gain in values["gains"]),
            "export": Path(values["export"]),
        }
        return cls(**{**values, **parts})


def stored_distilled(ledger: Ledger) -> Distilled | None:
    """What the last distillation of the study came to, or None before any."""
    values = ledger.note(DISTILLED_NOTE)
    return Distilled.from_dict(values) if values else None


def distil(
    home: Home,
    name: str,
    wanted: Wanted,
    listener: Listener,
    to: Path | None = None,
    formats: Sequence[str] = (),
) -> Distilled:
    """Train students of the ensemble of study ``name``, judge them on its test images, and export the best of them.

    It is written to the directory ``to``, or into the study's own, in the default ``formats`` and these. What an
    earlier call trained for the same wishes is used again. Raises ``UserError`` when no network is small enough, and
    ``StudyInterrupted`` on Ctrl-C.
    """
    Ledger.require(home, name)
    with owned(home, name, listener) as ledger:
        outcome = stored_outcome(ledger)
        if outcome is None:
            raise ConvscoutError(
                f"study {name!r} has no ensemble yet", next_command=f"convscout resume {name}"
            )
        return _Distillation(ledger, outcome, wanted, listener).run(to, formats)


class Teacher(nn.Module):
    """An ensemble that answers normalised images (N, C, H, W) with flattened probabilities (N, K)."""

    def __init__(self, ensemble: TrainedEnsemble) -> None:
        super().__init__()
        # a second look would cost as much as the first, and say little that the mean of the members does not
        members = tuple(replace(member, view=PLAIN) for member in ensemble.members)
        flat = replace(ensemble, members=members, temperature=ensemble.temperature * FLATTENING)
        self._ensemble = flat.build_module()
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        return self._ensemble.of_normalised(images)


class _Distillation:
    """One call of ``distil``."""

    def __init__(self, ledger: Ledger, outcome: Outcome, wanted: Wanted, listener: Listener) -> None:
        self._ledger = ledger
        self._outcome = outcome
        self._wanted = wanted
        self._listener = listener
        self._began = time.monotonic()
        self._splits: DataSplits = same_data(ledger, ledger.config, listener)
        self._teacher = Finish(ledger, self._splits, listener).trained(outcome.ensemble)

    def run(self, to: Path | None, formats: Sequence[str]) -> Distilled:
        data = TrainingData.of(self._splits)
        judged = Gathering(self._ledger, self._splits, self._listener).judged()
        space = study_space(self._ledger.config, data)
        student = choose_student(judged, space, self._wanted.family, self._wanted.params)
        students, twins = self._plans(student)
        detail = f"{student.candidate[0].name} of {student.params:,} parameters, {len(students)} student(s)"
        self._listener(PhaseStarted(phase="distil", detail=detail))
        self._train(students, replace(data, teacher=Teacher(self._teacher)), "distilling, epochs")
        self._train(twins, data, "training on labels alone, epochs")
        return self._judged(student, students, twins, to, formats)

    def _plans(self, student: Student) -> tuple[list[Training], list[Training]]:
        """The trainings of students and of their twins, which differ in what they learn alone."""
        study = self._ledger.config
        architecture, recipe = student.candidate
        twin = TrialConfig(
            number=0,
            attempt=1,
            dataset=self._splits.fingerprint,
            architecture=architecture,
            recipe=recipe.with_epochs(self._wanted.epochs or PATIENCE * (study.epochs or 1)),
            seed=study.seed,
            objective=study.objective[0],
        )
        # the teacher says how sure to be, and of what
        taught = replace(twin.recipe, label_smoothing=0.0, loss="cross_entropy", class_weights="none")
        learnt = {"teacher": self._outcome.ensemble.to_dict(), "flattening": FLATTENING}
        return (
            self._plan(DISTILLED, replace(twin, recipe=taught), learnt),
            self._plan(LABELS, twin, {}) if self._wanted.twins else [],
        )

    def _plan(self, kind: str, config: TrialConfig, learnt: Mapping[str, Any]) -> list[Training]:
        """One training a seed, in a directory whose name tells it from all others."""
        told = json.dumps([config.to_dict(), learnt], sort_keys=True)
        folder = f"{kind.replace(' ', '-')}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"
        return [
            Training(
                name=f"{kind}, seed {seed}",
                config=replace(config, seed=config.seed + seed * _SEED_STEP),
                directory=TrialDirectory(self._ledger.home.distilled(self._ledger.name) / folder / str(seed)),
                epoch_s=0.0,  # nobody knows before it has begun
            )
            for seed in range(1, self._wanted.seeds + 1)
        ]

    def _train(self, plan: Sequence[Training], data: TrainingData, description: str) -> None:
        with Interrupts() as interrupts:
            train(
                self._ledger,
                plan,
                data,
                description=description,
                left_s=lambda: self._wanted.time_s - (time.monotonic() - self._began),
                interrupted=lambda: interrupts.requested,
                listener=self._listener,
                cluster=surveyed(self._ledger.config, self._ledger.home.root),
            )
        again = f"convscout distil {self._ledger.name}"
        if interrupts.requested:
            raise StudyInterrupted(
                "distilling was interrupted; every finished epoch is kept", next_command=again
            )
        if missing := [training.name for training in plan if not training.done]:
            raise ConvscoutError(
                f"{', '.join(missing)}: not trained to the end; what was trained is kept for the next time",
                next_command=again,
            )

    def _judged(
        self,
        student: Student,
        students: Sequence[Training],
        twins: Sequence[Training],
        to: Path | None,
        formats: Sequence[str],
    ) -> Distilled:
        plan = [*students, *twins]
        trained = [self._trained(training) for training in plan]
        test = open_test(self._ledger, self._splits, self._listener)
        answers = [each.build_module().answer(test.images) for each in trained]
        names = self._splits.class_names
        rows = [
            ScoreRow.measured(training.name, "test", Evaluation.of(each, test.labels, names))
            for training, each in zip(plan, answers, strict=True)
        ]
        gains = [
            paired_difference(taught, alone, test.labels)
            for taught, alone in zip(answers, answers[len(students) :], strict=False)
        ]
        best = max(range(len(students)), key=lambda place: trained[place].metrics["validation.accuracy"])
        found = Distilled(
            study=self._ledger.name,
            family=student.candidate[0].name,
            trial=student.trial,
            params=student.params,
            epochs=plan[0].config.recipe.epochs,
            rows=(self._outcome.row(ENSEMBLE, "test"), *rows),
            gains=tuple(gains),
            export=(to or self._ledger.home.distilled(self._ledger.name) / "export").resolve(),
        )
        self._listener(PhaseStarted(phase="export", detail=str(found.export)))
        metrics = {**trained[best].metrics, "test.accuracy": rows[best].accuracy}
        told, seen = replace(trained[best], metrics=metrics), self._splits.validation
        export(told, found.export, seen.images, labels=seen.labels, formats=[*default_formats(), *formats])
        self._ledger.set_note(DISTILLED_NOTE, found.to_dict())
        return found

    def _trained(self, training: Training) -> TrainedEnsemble:
        """What was trained, as an ensemble of one that is calibrated on the validation images."""
        kept = training.directory.load_best()
        if kept is None:
            raise ConvscoutError(
                f"{training.name}: its best epoch was damaged; remove {training.directory.path} and distil again"
            )
        labels = self._splits.validation.labels
        temperature = fitted_temperature(kept.probabilities.numpy(), labels)
        answers = tempered(kept.probabilities.numpy(), temperature)
        member = TrainedMember(
            number=training.config.number,
            weight=1.0,
            architecture=training.config.architecture,
            weights=kept.weights,
            temperature=temperature,
        )
        found = Evaluation.of(answers, labels, self._splits.class_names)
        return replace(
            self._teacher,
            members=(member,),
            metrics={"validation.accuracy": found.accuracy},
            temperature=1.0,
            biases=(),
        )
