"""What follows a search: select the ensemble, open the test split once, export, tell MLflow."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from search_space.errors import ConvscoutError, CorruptCheckpointError
from services.ensemble import Ensemble, EnsembleMember, Member, select
from services.events import Listener, Notice, PhaseStarted
from services.exporting import export
from services.study import Ledger
from services.tracking.source import DESCRIPTION_NOTE, METRICS_NOTE
from services.trained_ensemble import TrainedEnsemble, TrainedMember
from services.trial_record import TrialRecord
from trials.metrics import accuracy, wilson_interval
from trials.splits import DataSplits

OUTCOME_NOTE = "outcome"
OPENINGS_NOTE = "test_openings"  # seconds since 1970 of every look at the test split


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """``accuracy`` of ``name`` on a ``split`` of ``images`` images, with its 95 % Wilson interval."""

    name: str
    split: str
    accuracy: float
    low: float
    high: float
    images: int

    @classmethod
    def of(cls, name: str, split: str, share: float, images: int) -> ScoreRow:
        """The row for ``share`` of ``images`` answered rightly."""
        low, high = wilson_interval(round(share * images), images)
        return cls(name=name, split=split, accuracy=share, low=low, high=high, images=images)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a study came to. ``best`` is the number of the best single trial."""

    study: str
    state_counts: dict[str, int]
    best: int
    ensemble: Ensemble
    report: tuple[ScoreRow, ...]
    export: Path

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
    metrics = {f"{row.name.replace(' ', '_')}.{row.split}_accuracy": row.accuracy for row in outcome.report}
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
        report = self.report(selected, best)
        outcome = Outcome(
            study=self._ledger.name,
            state_counts=dict(Counter(str(record.state) for record in self._ledger.trials())),
            best=best.number,
            ensemble=selected,
            report=report,
            export=self._ledger.home.study(self._ledger.name) / "export",
        )
        self._export(outcome, outcome.export)
        self._ledger.set_note(OUTCOME_NOTE, outcome.to_dict())
        return outcome

    def select(self, max_members: int) -> tuple[Ensemble, TrialRecord]:
        """The ensemble of what was trained, and the best single trial.

        Raises ``ConvscoutError`` when no trial was finished.
        """
        judged = [
            record
            for record in self._ledger.trials()
            if record.state.judged and record.best and self._saw_these_images(record)
        ]
        self._listener(PhaseStarted(phase="ensemble", detail=f"from {len(judged)} trials"))
        return self._select(judged, max_members), max(judged, key=_rank)

    def report(self, selected: Ensemble, best: TrialRecord) -> tuple[ScoreRow, ...]:
        """What both are worth. Opens the test split, which the ledger keeps in mind."""
        assert best.best is not None
        images = len(self._splits.validation)
        rows = [
            ScoreRow.of("best single", "validation", best.best.val_accuracy, images),
            ScoreRow.of("ensemble", "validation", selected.score.accuracy, images),
        ]
        alone = (EnsembleMember(number=best.number, weight=1.0),)
        self._listener(PhaseStarted(phase="test", detail=f"{self._splits.num_test} images, opened once"))
        openings = self._ledger.note(OPENINGS_NOTE) or []
        self._ledger.set_note(OPENINGS_NOTE, [*openings, time.time()])
        test = self._splits.open_test()
        for name, members in (("best single", alone), ("ensemble", selected.members)):
            answers = self._trained(members, {}).build_module().answer(test.images)
            rows.append(ScoreRow.of(name, "test", accuracy(answers, test.labels), len(test)))
        return tuple(rows)

    def export(self, directory: Path | None) -> Path:
        """Write the ensemble that was selected when the study ended once more."""
        outcome = stored_outcome(self._ledger)
        if outcome is None:
            raise ConvscoutError(
                f"study {self._ledger.name!r} has no ensemble yet",
                next_command=f"convscout resume {self._ledger.name}",
            )
        target = directory or outcome.export
        self._export(outcome, target)
        return target

    def _saw_these_images(self, record: TrialRecord) -> bool:
        """Whether its answers are those to the present validation images."""
        return record.config is not None and record.config.dataset == self._splits.fingerprint

    def _select(self, judged: list[TrialRecord], max_members: int) -> Ensemble:
        candidates = []
        for record in judged:
            kept = self._ledger.directory(record.number).load_best()
            if kept is None:
                self._listener(
                    Notice(text=f"trial {record.number} is left out: its best epoch is missing or damaged")
                )
                continue
            candidates.append(Member(number=record.number, probabilities=kept.probabilities.numpy()))
        return select(candidates, self._splits.validation.labels, max_members=max_members)

    def _export(self, outcome: Outcome, directory: Path) -> None:
        self._listener(PhaseStarted(phase="export", detail=str(directory)))
        metrics = {
            f"{row.split}.{row.name.replace(' ', '_')}.accuracy": row.accuracy for row in outcome.report
        }
        trained = self._trained(outcome.ensemble.members, metrics)
        export(trained, directory, self._splits.validation.images)

    def _trained(self, members: tuple[EnsembleMember, ...], metrics: Mapping[str, float]) -> TrainedEnsemble:
        return TrainedEnsemble(
            study=self._ledger.name,
            data=self._splits.name,
            fingerprint=self._splits.fingerprint,
            class_names=self._splits.class_names,
            image=self._splits.image,
            normalization=self._splits.normalization,
            members=tuple(self._member(member) for member in members),
            metrics=metrics,
        )

    def _member(self, member: EnsembleMember) -> TrainedMember:
        config = self._ledger.trial(member.number).config
        kept = self._ledger.directory(member.number).load_best()
        if config is None or kept is None:
            raise CorruptCheckpointError(f"the best epoch of trial {member.number} is missing or damaged")
        return TrainedMember(
            number=member.number, weight=member.weight, architecture=config.architecture, weights=kept.weights
        )


def _rank(record: TrialRecord) -> tuple[float, float, int]:
    """Larger is better: the study's objective, then likelihood, then the earlier trial."""
    assert record.best is not None
    return record.goodness, -record.best.val_loss, -record.number
