"""LibraryBuilder: from the trials of a study to the library that its ensemble is selected from.

Every trial is a candidate as it was judged while it trained. The best of them are asked once more: their weights
without the average, the mean of their best epochs, and the best of these networks with several looks at each image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from convscout.search_space.latency import measure_latency
from convscout.services.ensembles.ensemble import BEST
from convscout.services.ensembles.library import EnsembleLimits, Library, Member, shortlist
from convscout.services.ensembles.networks import networks_of
from convscout.services.ensembles.no_model import no_model
from convscout.services.events.events import Listener, Notice, PhaseStarted
from convscout.services.ledger.ledger import Ledger
from convscout.services.ledger.trial_record import TrialRecord
from convscout.trials.checkpoints.trial_directory import BestEpoch, TrialDirectory
from convscout.trials.compute.precision import Precision, choose_device, choose_precision
from convscout.trials.data.batches import Batches
from convscout.trials.data.splits import DataSplits
from convscout.trials.evaluation.metrics import Probabilities, accuracy
from convscout.trials.evaluation.probabilities import probabilities
from convscout.trials.evaluation.tta import VIEWS, Viewed, best_view
from convscout.trials.evaluation.views import PLAIN
from convscout.trials.training.calibration import read_precision

VIEWED = 5  # trials whose other networks and views are candidates too


class LibraryBuilder:
    """The candidates of a study whose images are ``splits``."""

    def __init__(self, ledger: Ledger, splits: DataSplits, listener: Listener) -> None:
        self._ledger = ledger
        self._splits = splits
        self._listener = listener
        self._validation: Batches | None = None
        self._device = choose_device("cpu" if ledger.config.device == "cpu" else "auto")

    def scored(self) -> list[TrialRecord]:
        """The trials that have answered the present validation images, best first."""
        found = [
            record
            for record in self._ledger.trials()
            if record.state.scored and record.best and self._saw_these_images(record)
        ]
        return sorted(found, key=_rank, reverse=True)

    def answers(self) -> Iterator[tuple[int, Probabilities]]:
        """The number of each scored trial and its answers (N, K) to the validation images, in the order of numbers.

        Trials whose answers were dropped, are damaged or are not finite are left out.
        """
        images = len(self._splits.validation)
        for number in sorted(record.number for record in self.scored()):
            kept = TrialDirectory(self._ledger.ref.trial(number)).load_best()
            if kept and len(kept.probabilities) == images and bool(torch.isfinite(kept.probabilities).all()):
                yield number, kept.probabilities.numpy()

    def library(self, limits: EnsembleLimits, *, timed: bool = False) -> Library:
        """What an ensemble within ``limits`` may be made of; ``timed`` also measures what each takes for an image.

        Raises ``NoModelError`` when there is no such trial, and ``UserError`` when none is within the limits.
        """
        scored = self.scored()
        self._listener(PhaseStarted(phase="ensemble", detail=f"from {len(scored)} trials"))
        able = [record for record in scored if limits.allow([_unload(record)])] or scored
        timed = timed or limits.latency is not None
        found: list[Member] = []
        for place, index in enumerate(shortlist([record.family for record in able])):
            found += self._candidates(able[index], others=place < VIEWED, timed=timed)
        if not found:
            raise no_model(self._ledger.config, self._ledger.trials(), lost=bool(scored))
        return Library.of(found, self._splits.validation.labels, limits, self._ledger.config.objective[0])

    def _saw_these_images(self, record: TrialRecord) -> bool:
        return record.plan is not None and record.plan["dataset"] == self._splits.fingerprint

    def _candidates(self, record: TrialRecord, *, others: bool, timed: bool) -> list[Member]:
        """The trial as it was judged, and what ``others`` it holds; nothing if its best epoch is lost."""
        directory = TrialDirectory(self._ledger.ref.trial(record.number))
        kept = directory.load_best()
        if kept is None:
            if not directory.discarded:
                text = f"trial {record.number} is left out: its best epoch is missing or damaged"
                self._listener(Notice(text=text))
            return []
        candidate = replace(_unload(record), probabilities=kept.probabilities.numpy())
        if timed:
            assert record.config is not None
            latency_s = measure_latency(record.config.architecture, self._splits.image, torch.device("cpu"))
            candidate = replace(candidate, latency_s=latency_s)
        if not others:
            return [candidate]
        found = [candidate]
        for name, answers in self._views(record, kept).items():
            network, view = name.split(" ")
            found.append(
                replace(
                    candidate,
                    probabilities=answers.numpy(),
                    network=network,
                    view=view,
                    latency_s=candidate.latency_s * VIEWS[view].passes,
                )
            )
        return found

    def _views(self, record: TrialRecord, kept: BestEpoch) -> Mapping[str, Tensor]:
        """What other networks and views of the trial answer (N, K), by both their names; kept for the next time."""
        directory = TrialDirectory(self._ledger.ref.trial(record.number))
        found = directory.load_views(kept.epoch)
        if found is None:
            found = self._ask(record, kept)
            directory.save_views(kept.epoch, found)
        return found

    def _ask(self, record: TrialRecord, kept: BestEpoch) -> dict[str, Tensor]:
        networks = networks_of(kept, TrialDirectory(self._ledger.ref.trial(record.number)).load_past())
        labels = self._splits.validation.labels
        found = {
            f"{name} {PLAIN}": self._answers(record, weights, PLAIN)
            for name, weights in networks.items()
            if name != BEST
        }
        plain = {name: found.get(f"{name} {PLAIN}", kept.probabilities) for name in networks}
        best = max(networks, key=lambda name: accuracy(plain[name].numpy(), labels))
        view = best_view(self._splits.image.symmetries).name
        found[f"{best} {view}"] = self._answers(record, networks[best], view)
        return found

    def _answers(self, record: TrialRecord, weights: Mapping[str, Tensor], view: str) -> Tensor:
        """What such a network of the trial answers (N, K), in the precision that the trial was judged in."""
        assert record.config is not None
        if self._validation is None:
            self._validation = Batches(
                self._splits.validation,
                self._splits.normalization,
                num_classes=self._splits.image.num_classes,
                device=self._device,
            )
        model = record.config.architecture.build(self._splits.image)
        model.load_state_dict(weights)
        precision = self._precision(record)
        model.to(self._device)
        model.to(memory_format=precision.layout)
        return probabilities(Viewed(model, VIEWS[view]), self._validation, precision)

    def _precision(self, record: TrialRecord) -> Precision:
        file = TrialDirectory(self._ledger.ref.trial(record.number)).path / "precision.json"
        return read_precision(file, self._device) or choose_precision("float32", self._device)


def _unload(record: TrialRecord) -> Member:
    """The trial as a candidate whose answers are not read yet."""
    assert record.complexity is not None
    nothing = np.empty((0, 0), np.float32)
    return Member(
        number=record.number, probabilities=nothing, family=record.family, params=record.complexity.params
    )


def _rank(record: TrialRecord) -> tuple[float, float, int]:
    """Larger is better: the study's objective, then likelihood, then the earlier trial."""
    assert record.best is not None
    return record.utility, -record.best.val_loss, -record.number
