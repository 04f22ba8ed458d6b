"""What follows a search: select the ensemble, open the test split once, export, tell MLflow."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeAlias

import torch

from convscout.search_space.architecture import ImageSpec
from convscout.search_space.errors import ConvscoutError
from convscout.search_space.latency import measure_latency
from convscout.services.ensembles.ensemble import Ensemble, EnsembleMember
from convscout.services.ensembles.gathering import LibraryBuilder
from convscout.services.ensembles.library import EnsembleLimits, Library
from convscout.services.ensembles.networks import network
from convscout.services.ensembles.selection import select
from convscout.services.ensembles.trained import TrainedEnsemble, TrainedMember
from convscout.services.evaluation.comparison import Judgement, ServingCost, judge, uncalibrated
from convscout.services.evaluation.guessing import no_better_than_guessing
from convscout.services.evaluation.score_rows import (
    CONTROL,
    ENSEMBLE,
    REFITTED,
    SINGLE,
    TOP_K,
    UNCALIBRATED,
    ScoreRow,
)
from convscout.services.evaluation.winner_judging import judge_winner
from convscout.services.evaluation.winner_score import WinnerScore
from convscout.services.events.events import Listener, Notice, PhaseStarted
from convscout.services.events.wording import sentence
from convscout.services.export.writer import default_formats, export
from convscout.services.ledger.ledger import Ledger
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.studies.outcome import OPENINGS_NOTE, OUTCOME_NOTE, Outcome, load_outcome
from convscout.services.tracking.source import DESCRIPTION_NOTE, METRICS_NOTE, OutcomeMetrics
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.config import TrialPhase
from convscout.trials.data.levels import describe_flat
from convscout.trials.data.splits import DataSplits, LabelledImages
from convscout.trials.evaluation.paired_test import paired_difference
from convscout.trials.evaluation.tta import VIEWS, best_view
from convscout.trials.evaluation.views import PLAIN

_MOSTLY_FLAT = 0.5  # of the training images nearly of one colour: then the search was about nothing


def open_test(ledger: Ledger, splits: DataSplits, listener: Listener) -> LabelledImages:
    """The test images, which the ledger keeps in mind were looked at; the second time and later that is told."""
    openings = ledger.note(OPENINGS_NOTE) or []
    count = f"opened {len(openings)} time(s) before" if openings else "opened once"
    listener(PhaseStarted(phase="test", detail=f"{splits.num_test} images, {count}"))
    ledger.set_note(OPENINGS_NOTE, [*openings, time.time()])
    return splits.open_test()


def tell_tracking(ledger: Ledger, outcome: Outcome) -> None:
    """Leave in the ledger what the study's run in MLflow shows of its end."""
    metrics = {
        f"{row.name.replace(' ', '_')}.{row.split}_{field}": value
        for row in outcome.report
        for field in ("accuracy", "nll", "calibration_error")
        if (value := getattr(row, field)) is not None
    }
    gains = {
        "gain": outcome.gain,
        "refit_gain": outcome.refit_gain,
        "control_gain": outcome.control_gain,
    }
    for name, gain in gains.items():
        if gain:
            metrics[f"{name}.test_accuracy"] = gain.difference
    for row, field, value in outcome.correction_figures:
        metrics[f"{row.replace(' ', '_')}.validation_{field}"] = value
    found = OutcomeMetrics(values=metrics, at_ms=round(1000 * time.time()))
    ledger.set_note(METRICS_NOTE, found.to_note())
    lines = [f"Data `{ledger.config.data}`, {sum(outcome.state_counts.values())} trials.", ""]
    lines += ["| model | split | accuracy | 95 % interval |", "|---|---|---|---|"]
    lines += [
        f"| {row.name} | {row.split} | {row.accuracy:.4f} | {row.low:.4f} to {row.high:.4f} |"
        for row in outcome.report
    ]
    lines += [line for text in outcome.corrections for line in ("", sentence(text))]
    members = ", ".join(f"trial {m.name} ({m.weight:.0%})" for m in outcome.ensemble.members)
    lines += [
        "",
        f"Ensemble: {members}.",
        "",
        f"Export: `{outcome.export.relative_to(ledger.home.root)}` in its home",
    ]
    ledger.set_note(DESCRIPTION_NOTE, "\n".join(lines))


Refit: TypeAlias = Callable[[Ensemble], Ensemble]
"""Trains the members of an ensemble once more, on more images; gives the ensemble of what could be trained."""


class Finish:
    """Ends one run of a study."""

    def __init__(self, ledger: Ledger, splits: DataSplits, listener: Listener) -> None:
        self._ledger = ledger
        self._splits = splits
        self._listener = listener
        self._gathering = LibraryBuilder(ledger, splits, listener)

    def run(self, max_members: int, refit: Refit | None = None) -> Outcome:
        """Select, refit if wanted, test and export. Raises ``NoModelError`` when no trial can become a model."""
        selected, best = self.select(max_members)
        final = refit(selected) if refit else selected
        earlier = load_outcome(self._ledger)
        if earlier and earlier.ensemble == final and earlier.export.exists():
            return self._recount(earlier)  # nothing new was found, so the test split stays closed
        validation = self._splits.validation
        if told := no_better_than_guessing(
            selected.score.accuracy, validation.labels, self._splits.class_names
        ):
            self._listener(Notice(text=told))
        for told in describe_flat(self._splits.train, least=_MOSTLY_FLAT):
            self._listener(Notice(text=f"what was found may mean nothing: {told}"))
        judgement = self.judge(selected, best, final)
        self._write_report(judgement)
        before = judgement.evaluations[UNCALIBRATED]
        control = judgement.answers.get(CONTROL)
        outcome = Outcome(
            study=self._ledger.name,
            **self._trial_counts(),
            best=best.number,
            ensemble=final,
            report=self.rows(judgement, best),
            export=self._ledger.ref.export,
            gain=judgement.gains[ENSEMBLE],
            refit_gain=judgement.gains.get(REFITTED),
            control_gain=None
            if control is None
            else paired_difference(judgement.answers[ENSEMBLE], control, judgement.images.labels),
            selected=None if final == selected else selected,
            uncalibrated=(before.nll, before.calibration_error),
            winner=self._judge_winner(best),
        )
        self._export(outcome, outcome.export, self._formats)
        self._ledger.set_note(OUTCOME_NOTE, outcome.to_note(self._ledger.ref))
        return outcome

    def _recount(self, earlier: Outcome) -> Outcome:
        """The ``earlier`` outcome with the trials that there are now, of which those since changed nothing else."""
        outcome = replace(earlier, **self._trial_counts())
        if outcome != earlier:
            self._ledger.set_note(OUTCOME_NOTE, outcome.to_note(self._ledger.ref))
        return outcome

    def _trial_counts(self) -> dict[str, Any]:
        """What an outcome says of how many trials there are."""
        records = self._ledger.trials()
        return {
            "state_counts": dict(Counter(str(record.state) for record in records)),
            "did_not_fit": sum(record.did_not_fit for record in records),
        }

    def select(self, max_members: int) -> tuple[Ensemble, TrialRecord]:
        """The ensemble that the study asks for, of so many members at most, and the best single trial.

        Raises as ``library`` does.
        """
        limits = EnsembleLimits.of(self._ledger.config)
        library = self.library(replace(limits, size=min(limits.size, max_members)))
        return select(library, self._ledger.config.ensemble_strategy), self._gathering.scored()[0]

    def library(self, limits: EnsembleLimits, *, timed: bool = False) -> Library:
        """What an ensemble within ``limits`` may be made of; ``timed`` also measures what each takes for an image.

        Raises ``NoModelError`` when there is no such trial, and ``UserError`` when none is within the limits.
        """
        return self._gathering.library(limits, timed=timed)

    def judge(self, selected: Ensemble, best: TrialRecord, final: Ensemble) -> Judgement:
        """What these and other ensembles are worth. Opens the test split."""
        scored = self._score_ensembles(selected, best, final)
        return judge(scored, open_test(self._ledger, self._splits, self._listener), self.load_trained)

    def _judge_winner(self, best: TrialRecord) -> WinnerScore | None:
        return judge_winner(
            self._gathering.answers(),
            self._splits.validation.labels,
            self._ledger.config.objective[0],
            best=best.number,
            first=min(record.number for record in self._gathering.scored()),
        )

    def rows(self, judgement: Judgement, best: TrialRecord) -> tuple[ScoreRow, ...]:
        """Validation scores of when the choice was made, and those on the test images with what each costs."""
        selected = judgement.ensembles[ENSEMBLE].score
        assert best.best is not None
        images = len(self._splits.validation)
        rows = [
            ScoreRow.of(
                SINGLE,
                "validation",
                best.best.val_accuracy,
                images,
                nll=best.best.val_loss,
                calibration_error=best.best.val_calibration_error,
            ),
            ScoreRow.of(ENSEMBLE, "validation", selected.accuracy, images, nll=selected.nll),
        ]
        costs = Costs(self._ledger, self._splits.image)
        for name, each in judgement.ensembles.items():
            if name != UNCALIBRATED:
                row = ScoreRow.measure(name, "test", judgement.evaluations[name])
                rows.append(replace(row, **asdict(costs.of(each))))
        return tuple(rows)

    def _score_ensembles(self, selected: Ensemble, best: TrialRecord, final: Ensemble) -> dict[str, Ensemble]:
        """What is judged, by name; first what is exported."""
        size = len(selected.members)
        top = [record.number for record in self._gathering.scored()[:size]]
        control, view = self._control(), best_view(self._splits.image.symmetries).name
        return {
            **({REFITTED: final} if final != selected else {}),
            ENSEMBLE: selected,
            UNCALIBRATED: uncalibrated(selected),
            SINGLE: _equal([best.number], selected),
            **({TOP_K: _equal(top, selected)} if len(top) > 1 else {}),
            **({CONTROL: _equal([control.number], selected, view=view)} if control else {}),
        }

    def _control(self) -> TrialRecord | None:
        """The study's control, if there is one and it was trained."""
        return next((each for each in self._gathering.scored() if each.phase is TrialPhase.CONTROL), None)

    def load_trained(self, ensemble: Ensemble, metrics: Mapping[str, float] | None = None) -> TrainedEnsemble:
        """``ensemble`` with its networks, of which a card will tell ``metrics``.

        Raises ``CorruptCheckpointError`` when one is lost.
        """
        return TrainedEnsemble(
            study=self._ledger.name,
            data=self._splits.name,
            fingerprint=self._splits.fingerprint,
            class_names=self._splits.class_names,
            image=self._splits.image,
            normalization=self._splits.normalization,
            members=tuple(self._member(member) for member in ensemble.members),
            metrics=metrics or {},
            temperature=ensemble.temperature,
            biases=ensemble.biases,
            white=self._splits.white,
        )

    def export(self, directory: Path | None, formats: Sequence[str] = ()) -> Path:
        """Write the ensemble that was selected when the study ended once more.

        ``formats`` are all that is written; without any, and to the study's own directory, what it asks for.
        """
        outcome = load_outcome(self._ledger)
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
        self._put(self.load_trained(ensemble, metrics), directory, formats or self._formats)

    def _write_report(self, judgement: Judgement) -> None:
        from convscout.services.evaluation.figures import write_evaluation  # matplotlib takes a second

        title = f"{self._ledger.name}, test images"
        target = self._ledger.ref.report
        write_evaluation(judgement, self._splits.class_names, title, target)

    @property
    def _formats(self) -> list[str]:
        """Those that the study is exported in."""
        return [*default_formats(), *self._ledger.config.formats]

    def _export(self, outcome: Outcome, directory: Path, formats: Sequence[str]) -> None:
        self._listener(PhaseStarted(phase="export", detail=str(directory)))
        metrics = {
            f"{row.split}.{row.name.replace(' ', '_')}.accuracy": row.accuracy for row in outcome.report
        } | {
            f"validation.{row.replace(' ', '_')}.{field}": value
            for row, field, value in outcome.correction_figures
        }
        self._put(self.load_trained(outcome.ensemble, metrics), directory, formats)

    def _put(self, trained: TrainedEnsemble, directory: Path, formats: Sequence[str]) -> None:
        images, labels = self._splits.validation.images, self._splits.validation.labels
        exported = export(trained, directory, images, labels=labels, formats=formats)
        for name, reason in exported.left_out.items():
            self._listener(Notice(text=f"the export has no {name}: {reason}"))

    def _member(self, member: EnsembleMember) -> TrainedMember:
        config = self._ledger.trial(member.number).config
        assert config is not None, "it was trained"
        return TrainedMember(
            number=member.number,
            weight=member.weight,
            temperature=member.temperature,
            architecture=config.architecture,
            weights=dict(network(TrialDirectory(self._ledger.ref.trial(member.number)), member.network)),
            network=member.network,
            view=member.view,
        )


class Costs:
    """What ensembles of a study's trials cost, of whom each is measured once."""

    def __init__(self, ledger: Ledger, image: ImageSpec) -> None:
        self._ledger = ledger
        self._image = image
        self._latencies: dict[int, float] = {}

    def of(self, ensemble: Ensemble) -> ServingCost:
        """Of all members together."""
        params, latency_s = 0, 0.0
        for member in ensemble.members:
            record = self._ledger.trial(member.number)
            assert record.config is not None and record.complexity is not None
            if member.number not in self._latencies:
                self._latencies[member.number] = measure_latency(
                    record.config.architecture, self._image, torch.device("cpu")
                )
            params += record.complexity.params
            latency_s += self._latencies[member.number] * VIEWS[member.view].passes
        return ServingCost(params=params, latency_s=latency_s)


def _equal(numbers: Sequence[int], like: Ensemble, view: str = PLAIN) -> Ensemble:
    """These trials as they were judged while they trained, or by another ``view``, each with the same weight."""
    members = tuple(EnsembleMember(number=number, weight=1 / len(numbers), view=view) for number in numbers)
    return replace(like, members=members, temperature=1.0, biases=(), strategy=TOP_K, reason="")
