"""CheckpointGC: the checkpoints that stay on disk are those that a resume, a revival or the ensemble can still need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from convscout.search_space.complexity import Complexity
from convscout.services.config.units import format_bytes
from convscout.services.ensembles.library import shortlist
from convscout.services.events.events import Spending
from convscout.services.ledger.ledger import Ledger
from convscout.services.ledger.trial_record import TrialRecord
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.config import TrialState

RESUMABLE = 10  # stopped trials whose epoch states stay; only the best of them are ever revived
# A trial keeps its best epoch, two that were so before, for a moment one more, and two epoch states: weights and their
# average, and of the latter up to two tensors of the optimizer. In float32.
TRIAL_BYTES_A_PARAM = 4 * (4 * 2 + 2 * 4)


class CheckpointGC:
    """The checkpoints of one study, which take no more than ``limit`` bytes, if there is one.

    A running trial's are never touched. The first to go are the epoch states of stopped trials, then the best
    epochs of those that rank last.
    """

    def __init__(self, ledger: Ledger, limit: int | None, *, most_members: int) -> None:
        self._ledger = ledger
        self._limit = limit
        self._most_members = most_members
        self._bytes: dict[int, int] = {}  # of trials that ended and have any
        self._records: dict[int, TrialRecord] = {}
        self._ranks: dict[int, tuple[float, int]] = {}  # goodness; of equals the first is better
        self._resumable: set[int] = set()

    def ended(self, record: TrialRecord) -> None:
        """Take a trial that ended into account, and drop what nobody can need any more."""
        directory = TrialDirectory(self._ledger.ref.trial(record.number))
        if not record.state.scored:  # no ensemble uses it, and a retry begins anew
            directory.discard()
            return
        self._records[record.number] = record
        self._ranks[record.number] = record.utility, -record.number
        if record.state is TrialState.STOPPED and directory.resumable and not record.is_scout:
            self._resumable.add(record.number)
        if taken := directory.num_bytes:
            self._bytes[record.number] = taken
        for number in self._worst_first(self._resumable)[:-RESUMABLE]:
            self._discard_epochs(number)
        best_first = self._worst_first(self._bytes)[::-1]
        kept = set(shortlist([self._records[number].family for number in best_first]))
        for place, number in enumerate(best_first):
            if place not in kept:
                self._discard(number)

    def reopened(self, number: int) -> None:
        """A trial that had ended goes on."""
        self._resumable.discard(number)
        self._bytes.pop(number, None)

    @property
    def resumable(self) -> list[TrialRecord]:
        """The stopped trials that can go on, best first."""
        return [self._records[number] for number in self._worst_first(self._resumable)][::-1]

    @property
    def used(self) -> int:
        """Bytes of the trials that ended."""
        return sum(self._bytes.values())

    def makes_room(self, candidates: Iterable[Complexity]) -> bool:
        """Whether trials of such networks fit beside what is kept, once all that can be spared is dropped."""
        if self._limit is None:
            return True
        allowed = self._limit - sum(TRIAL_BYTES_A_PARAM * each.params for each in candidates)
        for drop in self._spare():
            if self.used <= allowed:
                return True
            drop()
        return self.used <= allowed

    def spendings(self) -> Iterator[Spending]:
        """How the budget of the disk stands, if there is one."""
        if self._limit is not None:
            yield Spending(name="disk", text=f"{format_bytes(self.used)} of {format_bytes(self._limit)}")

    def _spare(self) -> Iterator[Callable[[], None]]:
        """What can go, what is needed least first."""
        for number in self._worst_first(self._resumable):
            yield partial(self._discard_epochs, number)
        for number in self._worst_first(self._bytes)[: -self._most_members]:
            yield partial(self._discard, number)

    def _worst_first(self, numbers: Iterable[int]) -> list[int]:
        return sorted(numbers, key=self._ranks.__getitem__)

    def _discard_epochs(self, number: int) -> None:
        directory = TrialDirectory(self._ledger.ref.trial(number))
        directory.discard_epochs()
        self._resumable.discard(number)
        self._bytes[number] = directory.num_bytes

    def _discard(self, number: int) -> None:
        self._resumable.discard(number)
        self._bytes.pop(number, None)
        TrialDirectory(self._ledger.ref.trial(number)).discard()
