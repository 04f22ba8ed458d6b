"""What follows a search: select the ensemble, open the test split once, export, tell MLflow."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from search_space.errors import ConvscoutError, CorruptCheckpointError
from search_space.latency import measure_latency
from services.ensembles.ensemble import Ensemble, EnsembleMember
from services.ensembles.library import EnsembleLimits, Library, Member, shortlist
from services.ensembles.selection import select
from services.ensembles.trained import TrainedEnsemble, TrainedMember
from services.events import Listener, Notice, PhaseStarted
from services.exporting import default_formats, export
from services.study import Ledger
from services.tracking.source import DESCRIPTION_NOTE, METRICS_NOTE
from services.trial_record import TrialRecord
from trials.metrics import (
    PairedDifference,
    Probabilities,
    accuracy,
    calibration_error,
    nll,
    paired_difference,
    wilson_interval,
)
from trials.splits import DataSplits, LabelledImages, Labels

OUTCOME_NOTE = "outcome"
OPENINGS_NOTE = "test_openings"  # seconds since 1970 of every look at the test split


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """``accuracy`` of ``name`` on a ``split`` of ``images`` images, with its 95 % Wilson interval.

    ``nll`` is the mean log loss in nats; it and ``calibration_error`` are None in studies that did not keep them.
    """

    name: str
    split: str
    accuracy: float
    low: float
    high: float
    images: int
    nll: float | None = None
    calibration_error: float | None = None

    @classmethod
    def of(cls, name: str, split: str, share: float, images: int, **other: float) -> ScoreRow:
        """The row for ``share`` of ``images`` answered rightly, and ``other`` scores."""
        low, high = wilson_interval(round(share * images), images)
        return cls(name=name, split=split, accuracy=share, low=low, high=high, images=images, **other)

    @classmethod
    def measured(cls, name: str, split: str, answers: Probabilities, labels: Labels) -> ScoreRow:
        """The row for ``answers`` (N, K) to the images of a ``split``."""
        other = {"nll": nll(answers, labels), "calibration_error": calibration_error(answers, labels)}
        return cls.of(name, split, accuracy(answers, labels), len(labels), **other)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a study came to. ``best`` is the number of the best single trial.

    ``gain`` is what the ensemble answers better than it on the test images; None in studies that did not keep it.
    """

    study: str
    state_counts: dict[str, int]
    best: int
    ensemble: Ensemble
    report: tuple[ScoreRow, ...]
    export: Path
    gain: PairedDifference | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "export": str(self.export)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Outcome:
        """The inverse of ``to_dict``."""
        parts = {
            "ensemble": Ensemble.from_dict(values["ensemble"]),
            "report": tuple(ScoreRow(**row) for row in values["report"]),
            "export": Path(values["export"]),
            "gain": PairedDifference(**values["gain"]) if values.get("gain") else None,
        }
        return cls(**{**values, **parts})

    def score(self, name: str, split: str) -> float:
        """The accuracy in one row of the report."""
        return next(row.accuracy for row in self.report if (row.name, row.split) == (name, split))


def stored_outcome(ledger: Ledger) -> Outcome | None:
    """What the study came to, or None while it has not ended."""
    values = ledger.note(OUTCOME_NOTE)
    return Outcome.from_dict(values) if values else None


def tell_tracking(ledger: Ledger, outcome: Outcome) -> None:
    """Leave in the ledger what the study's run in MLflow shows of its end."""
    metrics = {
        f"{row.name.replace(' ', '_')}.{row.split}_{field}": value
        for row in outcome.report
        for field in ("accuracy", "nll", "calibration_error")
        if (value := getattr(row, field)) is not None
    }
    if outcome.gain:
        metrics["gain.test_accuracy"] = outcome.gain.difference
    ledger.set_note(METRICS_NOTE, metrics)
    lines = [f"Data `{ledger.config.data}`, {sum(outcome.state_counts.values())} trials.", ""]
    lines += ["| model | split | accuracy | 95 % interval |", "|---|---|---|---|"]
    lines += [
        f"| {row.name} | {row.split} | {row.accuracy:.4f} | {row.low:.4f} to {row.high:.4f} |"
        for row in outcome.report
    ]
    members = ", ".join(f"trial {m.number} ({m.weight:.0%})" for m in outcome.ensemble.members)
    lines += ["", f"Ensemble: {members}.", "", f"Export: `{outcome.export}`"]
    ledger.set_note(DESCRIPTION_NOTE, "\n".join(lines))


@dataclass(frozen=True, kw_only=True, eq=False)
class Judgement:
    """What the ensemble and the best single network are worth, and what they answered to the test ``images``.

    ``gain`` is by how much the first is worth more, ``answers`` (N, K) are by the name of who gave them.
    """

    rows: tuple[ScoreRow, ...]
    gain: PairedDifference
    images: LabelledImages
    answers: Mapping[str, Probabilities]


class Finish:
    """Ends one run of a study."""

    def __init__(self, ledger: Ledger, splits: DataSplits, listener: Listener) -> None:
        self._ledger = ledger
        self._splits = splits
        self._listener = listener

    def run(self, max_members: int) -> Outcome:
        """Select, test and export. Raises ``ConvscoutError`` when no trial was finished."""
        selected, best = self.select(max_members)
        earlier = stored_outcome(self._ledger)
        if earlier and earlier.ensemble == selected and earlier.export.exists():
            return earlier  # nothing new was found, so the test split stays closed
        judgement = self.judge(selected, best)
        self._write_report(judgement)
        outcome = Outcome(
            study=self._ledger.name,
            state_counts=dict(Counter(str(record.state) for record in self._ledger.trials())),
            best=best.number,
            ensemble=selected,
            report=judgement.rows,
            export=self._ledger.home.study(self._ledger.name) / "export",
            gain=judgement.gain,
        )
        self._export(outcome, outcome.export, self._formats)
        self._ledger.set_note(OUTCOME_NOTE, outcome.to_dict())
        return outcome

    def select(self, max_members: int) -> tuple[Ensemble, TrialRecord]:
        """The ensemble that the study asks for, of so many members at most, and the best single trial.

        Raises as ``library`` does.
        """
        limits = self._ledger.config.ensemble_limits
        library = self.library(replace(limits, size=min(limits.size, max_members)))
        return select(library, self._ledger.config.ensemble_strategy), max(self._judged(), key=_rank)

    def library(self, limits: EnsembleLimits, *, timed: bool = False) -> Library:
        """What an ensemble within ``limits`` may be made of; ``timed`` also measures what each takes for an image.

        Raises ``ConvscoutError`` when no trial was finished, and ``UserError`` when none is within the limits.
        """
        judged = sorted(self._judged(), key=_rank, reverse=True)
        self._listener(PhaseStarted(phase="ensemble", detail=f"from {len(judged)} trials"))
        able = [record for record in judged if limits.allow([_unloaded(record)])] or judged
        timed = timed or limits.latency is not None
        found = [
            self._candidate(able[place], timed=timed)
            for place in shortlist([record.family for record in able])
        ]
        candidates = [candidate for candidate in found if candidate]
        return Library.of(
            candidates, self._splits.validation.labels, limits, self._ledger.config.objective[0]
        )

    def judge(self, selected: Ensemble, best: TrialRecord) -> Judgement:
        """What both are worth. Opens the test split, which the ledger keeps in mind."""
        assert best.best is not None
        images = len(self._splits.validation)
        rows = [
            ScoreRow.of(
                "best single",
                "validation",
                best.best.val_accuracy,
                images,
                nll=best.best.val_loss,
                calibration_error=best.best.val_calibration_error,
            ),
            ScoreRow.of("ensemble", "validation", selected.score.accuracy, images, nll=selected.score.nll),
        ]
        alone = replace(selected, members=(EnsembleMember(number=best.number, weight=1.0),), temperature=1.0)
        self._listener(PhaseStarted(phase="test", detail=f"{self._splits.num_test} images, opened once"))
        openings = self._ledger.note(OPENINGS_NOTE) or []
        self._ledger.set_note(OPENINGS_NOTE, [*openings, time.time()])
        test = self._splits.open_test()
        single, together = (
            self._trained(each, {}).build_module().answer(test.images) for each in (alone, selected)
        )
        rows.append(ScoreRow.measured("best single", "test", single, test.labels))
        rows.append(ScoreRow.measured("ensemble", "test", together, test.labels))
        return Judgement(
            rows=tuple(rows),
            gain=paired_difference(together, single, test.labels),
            images=test,
            answers={"ensemble": together, "best single": single},
        )

    def export(self, directory: Path | None, formats: Sequence[str] = ()) -> Path:
        """Write the ensemble that was selected when the study ended once more.

        ``formats`` are all that is written; without any, and to the study's own directory, what it asks for.
        """
        outcome = stored_outcome(self._ledger)
        if outcome is None:
            raise ConvscoutError(
                f"study {self._ledger.name!r} has no ensemble yet",
                next_command=f"convscout resume {self._ledger.name}",
            )
        target = directory or outcome.export
        own = target.resolve() == outcome.export.resolve()
        self._export(outcome, target, [*self._formats, *formats] if own else formats or self._formats)
        return target

    def write(self, ensemble: Ensemble, directory: Path, formats: Sequence[str] = ()) -> None:
        """Export another ``ensemble`` of the study; the test split stays closed, so it tells its validation score."""
        metrics = {"validation.ensemble.accuracy": ensemble.score.accuracy}
        self._listener(PhaseStarted(phase="export", detail=str(directory)))
        self._put(self._trained(ensemble, metrics), directory, formats or self._formats)

    def _write_report(self, judgement: Judgement) -> None:
        from services.report import write_evaluation  # matplotlib, which judging does without

        title = f"{self._ledger.name}, test images"
        target = self._ledger.home.report(self._ledger.name)
        write_evaluation(judgement.answers, judgement.images, self._splits.class_names, title, target)

    def _judged(self) -> list[TrialRecord]:
        return [
            record
            for record in self._ledger.trials()
            if record.state.judged and record.best and self._saw_these_images(record)
        ]

    def _saw_these_images(self, record: TrialRecord) -> bool:
        """Whether its answers are those to the present validation images."""
        return record.config is not None and record.config.dataset == self._splits.fingerprint

    def _candidate(self, record: TrialRecord, *, timed: bool) -> Member | None:
        """The trial with what it answers to the validation images; None if that is lost."""
        directory = self._ledger.directory(record.number)
        kept = directory.load_best()
        if kept is None:
            if not directory.discarded:
                self._listener(
                    Notice(text=f"trial {record.number} is left out: its best epoch is missing or damaged")
                )
            return None
        candidate = replace(_unloaded(record), probabilities=kept.probabilities.numpy())
        if not timed:
            return candidate
        assert record.config is not None
        latency_s = measure_latency(record.config.architecture, self._splits.image, torch.device("cpu"))
        return replace(candidate, latency_s=latency_s)

    @property
    def _formats(self) -> list[str]:
        """Those that the study is exported in."""
        return [*default_formats(), *self._ledger.config.formats]

    def _export(self, outcome: Outcome, directory: Path, formats: Sequence[str]) -> None:
        self._listener(PhaseStarted(phase="export", detail=str(directory)))
        metrics = {
            f"{row.split}.{row.name.replace(' ', '_')}.accuracy": row.accuracy for row in outcome.report
        }
        self._put(self._trained(outcome.ensemble, metrics), directory, formats)

    def _put(self, trained: TrainedEnsemble, directory: Path, formats: Sequence[str]) -> None:
        images, labels = self._splits.validation.images, self._splits.validation.labels
        exported = export(trained, directory, images, labels=labels, formats=formats)
        for name, reason in exported.left_out.items():
            self._listener(Notice(text=f"the export has no {name}: {reason}"))

    def _trained(self, ensemble: Ensemble, metrics: Mapping[str, float]) -> TrainedEnsemble:
        return TrainedEnsemble(
            study=self._ledger.name,
            data=self._splits.name,
            fingerprint=self._splits.fingerprint,
            class_names=self._splits.class_names,
            image=self._splits.image,
            normalization=self._splits.normalization,
            members=tuple(self._member(member) for member in ensemble.members),
            metrics=metrics,
            temperature=ensemble.temperature,
        )

    def _member(self, member: EnsembleMember) -> TrainedMember:
        config = self._ledger.trial(member.number).config
        kept = self._ledger.directory(member.number).load_best()
        if config is None or kept is None:
            raise CorruptCheckpointError(f"the best epoch of trial {member.number} is missing or damaged")
        return TrainedMember(
            number=member.number,
            weight=member.weight,
            temperature=member.temperature,
            architecture=config.architecture,
            weights=kept.weights,
        )


def _unloaded(record: TrialRecord) -> Member:
    """The trial as a candidate whose answers are not read yet."""
    assert record.complexity is not None
    nothing = np.empty((0, 0), np.float32)
    return Member(
        number=record.number, probabilities=nothing, family=record.family, params=record.complexity.params
    )


def _rank(record: TrialRecord) -> tuple[float, float, int]:
    """Larger is better: the study's objective, then likelihood, then the earlier trial."""
    assert record.best is not None
    return record.goodness, -record.best.val_loss, -record.number
