"""Proposals: what the search proposes, what each would cost, and which are refused before they train."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

import torch

from convscout.search_space.architecture import ArchitectureConfig
from convscout.search_space.complexity import Complexity
from convscout.search_space.complexity_meter import measure
from convscout.search_space.errors import DuplicateError, ExhaustedError, UnbuildableError
from convscout.search_space.latency import measure_latency
from convscout.search_space.neighbours import unknown_neighbour
from convscout.search_space.recipe import TrainingRecipe
from convscout.search_space.scaling import scale
from convscout.search_space.size import SpaceSize
from convscout.search_space.space import Candidate, SearchSpace
from convscout.services.config.study_config import StudyConfig
from convscout.services.ledger.ledger import Ledger, Proposal
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.plugins import samplers
from convscout.services.samplers.base import SamplingTask
from convscout.trials.compute.precision import DTYPES
from convscout.trials.config import TrialState


class Proposals:
    """The candidates of one study from ``space``, judged for ``device``.

    Raises ``ConfigError`` when the study's sampler does not suit the space.
    """

    def __init__(self, ledger: Ledger, config: StudyConfig, space: SearchSpace, device: torch.device) -> None:
        self._ledger = ledger
        self._device = device
        self._trained: Counter[Candidate] = Counter()
        self._scouted: set[Candidate] = set()
        self._complexities: dict[Candidate, Complexity] = {}  # as one is asked about several times
        self._completed: dict[Candidate, None] = {}  # in the order of their first completion
        self.change(config, space)

    def change(self, config: StudyConfig, space: SearchSpace) -> None:
        """From now on propose under another configuration, from another space; raises as the constructor does."""
        self._sampler = samplers.get(config.sampler)(SamplingTask.of(config, space)).fresh
        self._config, self._space, self._limits = config, space, config.limits
        self._only = _identity(*space.portfolio()[0]) if space.size() == SpaceSize() else None

    @property
    def trained(self) -> int:
        """How many were committed, repeats included."""
        return self._trained.total() + len(self._scouted)

    def count(self, record: TrialRecord) -> None:
        """Take into account a trial that was committed, now or by an earlier run."""
        if record.trained and record.config:
            identity = _identity(record.config.architecture, record.config.recipe)
            if record.is_scout:
                self._scouted.add(identity)
            else:
                self._trained[identity] += 1
        self.note_completion(record)

    def note_completion(self, record: TrialRecord) -> None:
        """If the trial is completed, its configuration may be repeated."""
        if record.state is TrialState.COMPLETED and record.config and not record.is_scout:
            self._completed[_identity(record.config.architecture, record.config.recipe)] = None

    def queue_control(self) -> None:
        """Queue the study's control, the proven network of the strongest family, unless it was proposed before."""
        if self._ledger.has_control:
            return
        if strongest := self._strongest_first(self._space.portfolio()):
            self._ledger.enqueue_control(self._space.parameters(strongest[0]))

    def queue_portfolio(self) -> None:
        """Queue the proven networks of the families that were not proposed yet, the strongest first."""
        if not self._config.portfolio:
            return
        known = self._ledger.proposed_families()
        fresh = [candidate for candidate in self._space.portfolio() if candidate[0].name not in known]
        for candidate in self._strongest_first(fresh):
            self._ledger.enqueue(self._space.parameters(candidate))

    def propose(self) -> Proposal:
        """The next candidate; raises ``ExhaustedError`` when there is nothing left to propose."""
        self._queue_repeat()
        if self._only and self._trained[self._only] >= self._config.repeats and not self._ledger.queued:
            raise ExhaustedError("every knob is fixed, and the one network that this leaves was trained")
        return self._ledger.propose(self._space, self._sampler)

    def queue_neighbour(self, proposal: Proposal) -> None:
        """Queue one that was not trained yet, a few changes away from a candidate that was, if any can be found.

        A sampler that proposes the same again means that it is there that it wants to look.
        """
        rng = random.Random(self._config.seed * 100_003 + proposal.number)

        def is_trained(candidate: Candidate) -> bool:
            identity = _identity(*candidate)
            return self._trained[identity] > 0 or identity in self._scouted

        if found := unknown_neighbour(self._space, proposal.candidate, rng, is_trained):
            self._ledger.enqueue(self._space.parameters(found))

    def complexity(self, candidate: Candidate) -> Complexity:
        """What ``candidate`` takes to train; raises ``UnbuildableError``."""
        if candidate not in self._complexities:
            architecture, recipe = candidate
            # "auto" is decided by its worker; of the formats it may choose, float32 takes the most memory
            dtype = DTYPES.get(recipe.precision, torch.float32)
            measured = measure(architecture, recipe, self._space.image, dtype=dtype)
            self._complexities[candidate] = measured
        return self._complexities[candidate]

    def cost(self, candidate: Candidate, *, scout: bool = False) -> tuple[Complexity, dict[str, float]]:
        """What ``candidate`` costs: its complexity, and the costs that the study makes small, by objective.

        Raises ``DuplicateError`` when it was trained as often as the study wants, a ``scout`` once;
        ``LimitExceededError`` when it exceeds a limit, and ``UnbuildableError``.
        """
        architecture, _ = candidate
        self._refuse_duplicate(candidate, scout=scout)
        complexity = self.complexity(candidate)
        self._limits.check(complexity)
        latency = partial(measure_latency, architecture, self._space.image, self._device)
        if self._limits.max_latency is not None:
            self._limits.check(complexity, latency_s=latency())
        return complexity, self._config.objectives.costs(complexity, latency)

    def scale(self, proposal: Proposal, fits: Callable[[Complexity], bool]) -> Proposal:
        """``proposal`` as the largest network of its kind that ``fits``, or as the smallest there is."""
        candidate = scale(self._space, proposal.candidate, self.complexity, fits)
        return self._ledger.scale(proposal, candidate, self._space)

    def _queue_repeat(self) -> None:
        """After what waits already, the next is a configuration that is to be trained again by another seed."""
        repeats = self._config.repeats
        if repeats == 1:
            return
        due = (candidate for candidate in self._completed if self._trained[candidate] < repeats)
        if (repeat := next(due, None)) and not self._ledger.queued:
            self._ledger.enqueue(self._space.parameters(repeat), again=True)

    def _refuse_duplicate(self, candidate: Candidate, *, scout: bool) -> None:
        repeats = self._config.repeats
        if scout and _identity(*candidate) in self._scouted:
            raise DuplicateError("this configuration was scouted already")
        if self._trained[_identity(*candidate)] >= repeats:
            times = "once" if repeats == 1 else f"{repeats} times"
            raise DuplicateError(f"this configuration was trained {times} already")

    def _strongest_first(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """``candidates`` by falling strength of their families, without what cannot be built.

        The time may not suffice for all of them, and pruning is sharper beside strong rivals.
        """
        return sorted(filter(self._is_buildable, candidates), key=lambda candidate: -candidate[0].strength)

    def _is_buildable(self, candidate: Candidate) -> bool:
        try:
            self.complexity(candidate)
        except UnbuildableError:
            return False
        return True


def _identity(architecture: ArchitectureConfig, recipe: TrainingRecipe) -> Candidate:
    """What makes two configurations the same: everything but the epochs, which depend on the time left."""
    return architecture, recipe.with_epochs(1)
