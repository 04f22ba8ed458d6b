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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from convscout.search_space.errors import ConvscoutError, StudyInterrupted
from convscout.services.config.setting_types import AUTO
from convscout.services.config.study_ref import StudyRef
from convscout.services.ensembles.gathering import LibraryBuilder
from convscout.services.ensembles.temperature import fit_temperature, temper
from convscout.services.ensembles.trained import TrainedEnsemble, TrainedMember
from convscout.services.evaluation.score_rows import ENSEMBLE, ScoreRow
from convscout.services.evaluation.scores import Evaluation
from convscout.services.events.events import Listener, PhaseStarted
from convscout.services.executors.factory import inspect_cluster
from convscout.services.executors.placement import place
from convscout.services.export.writer import default_formats, export
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies.distilled import DISTILLED_NOTE, Distilled
from convscout.services.studies.extra_trainings import Training, train
from convscout.services.studies.finish import Finish, open_test
from convscout.services.studies.outcome import Outcome, load_outcome
from convscout.services.studies.session import own, same_data, study_space
from convscout.services.studies.student import Student, choose_student
from convscout.services.system.signals import Interrupts
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.config import TrialConfig
from convscout.trials.data.batches import TrainingData
from convscout.trials.data.splits import DataSplits
from convscout.trials.evaluation.paired_test import paired_difference
from convscout.trials.evaluation.views import PLAIN

DISTILLED, LABELS = "distilled", "labels alone"
FLATTENING = 2.0  # the temperature of the teacher's answers
PATIENCE = 2  # times the epochs of a trial of the study
_SEED_STEP = 7_919


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
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


def distil(
    ref: StudyRef,
    wanted: DistillationConfig,
    listener: Listener,
    to: Path | None = None,
    formats: Sequence[str] = (),
) -> Distilled:
    """Train students of the ensemble of study ``name``, judge them on its test images, and export the best of them.

    It is written to the directory ``to``, or into the study's own, in the default ``formats`` and these. What an
    earlier call trained for the same wishes is used again. Raises ``UserError`` when no network is small enough, and
    ``StudyInterrupted`` on Ctrl-C.
    """
    Ledger.require(ref)
    with own(ref, listener) as ledger:
        outcome = load_outcome(ledger)
        if outcome is None:
            raise ConvscoutError(
                f"study {ref.name!r} has no ensemble yet", next_command=f"convscout resume {ref.name}"
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

    def __init__(
        self, ledger: Ledger, outcome: Outcome, wanted: DistillationConfig, listener: Listener
    ) -> None:
        self._ledger = ledger
        self._outcome = outcome
        self._wanted = wanted
        self._listener = listener
        self._began = time.monotonic()
        self._splits: DataSplits = same_data(ledger, ledger.config, listener)
        self._teacher = Finish(ledger, self._splits, listener).load_trained(outcome.ensemble)

    def run(self, to: Path | None, formats: Sequence[str]) -> Distilled:
        data = TrainingData.of(self._splits)
        scored = LibraryBuilder(self._ledger, self._splits, self._listener).scored()
        space = study_space(self._ledger.config, data)
        student = choose_student(scored, space, self._wanted.family, self._wanted.params)
        students, twins = self._plans(student)
        detail = f"{student.candidate[0].name} of {student.params:,} parameters, {len(students)} student(s)"
        self._listener(PhaseStarted(phase="distil", detail=detail))
        self._train(students, replace(data, teacher=Teacher(self._teacher)), "distilling, epochs")
        self._train(twins, data, "training on labels alone, epochs")
        return self._score(student, students, twins, to, formats)

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
                directory=TrialDirectory(self._ledger.ref.distilled / folder / str(seed)),
                epoch_s=0.0,  # nobody knows before it has begun
            )
            for seed in range(1, self._wanted.seeds + 1)
        ]

    def _train(self, plan: Sequence[Training], data: TrainingData, description: str) -> None:
        config, home = self._ledger.config, self._ledger.home
        cluster = inspect_cluster(config, home.root)
        with Interrupts() as interrupts:
            train(
                self._ledger,
                plan,
                data,
                placement=place(config, data, cluster),
                cluster=cluster,
                description=description,
                left_s=lambda: self._wanted.time_s - (time.monotonic() - self._began),
                interrupted=lambda: interrupts.requested,
                listener=self._listener,
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

    def _score(
        self,
        student: Student,
        students: Sequence[Training],
        twins: Sequence[Training],
        to: Path | None,
        formats: Sequence[str],
    ) -> Distilled:
        plan = [*students, *twins]
        trained = [self._train_student(training) for training in plan]
        test = open_test(self._ledger, self._splits, self._listener)
        answers = [each.build_module().answer(test.images) for each in trained]
        names = self._splits.class_names
        rows = [
            ScoreRow.measure(training.name, "test", Evaluation.of(each, test.labels, names))
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
            export=(to or self._ledger.ref.distilled / "export").absolute(),
        )
        self._listener(PhaseStarted(phase="export", detail=str(found.export)))
        metrics = {**trained[best].metrics, "test.accuracy": rows[best].accuracy}
        told, seen = replace(trained[best], metrics=metrics), self._splits.validation
        export(told, found.export, seen.images, labels=seen.labels, formats=[*default_formats(), *formats])
        ref = self._ledger.ref
        self._ledger.set_note(DISTILLED_NOTE, {**found.to_dict(), "export": ref.to_stored(found.export)})
        return found

    def _train_student(self, training: Training) -> TrainedEnsemble:
        """What was trained, as an ensemble of one that is calibrated on the validation images."""
        kept = training.directory.load_best()
        if kept is None:
            raise ConvscoutError(
                f"{training.name}: its best epoch was damaged; remove {training.directory.path} and distil again"
            )
        labels = self._splits.validation.labels
        temperature = fit_temperature(kept.probabilities.numpy(), labels)
        answers = temper(kept.probabilities.numpy(), temperature)
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
