"""Admission: at which size and for how many epochs a candidate is trained, so that it fits what is left."""

from __future__ import annotations

import math

from convscout.search_space.complexity import Complexity
from convscout.search_space.errors import LimitExceededError
from convscout.services.events.events import Listener, Notice
from convscout.services.ledger.ledger import Proposal
from convscout.services.search.auto_config import MOST_SHRINKING
from convscout.services.search.proposals import Proposals
from convscout.services.search.runtime_model import RuntimeModel
from convscout.services.search.stopping_criteria import StoppingCriteria
from convscout.services.search.timetable import Timetable, first_rung
from convscout.trials.end_reason import EndReason

# Times the time left: within it a candidate is left as it is, as its schedule can end with the time.
TOLERANCE = 1.1
_SENTENCES = {
    EndReason.TOO_SLOW: "even as a much smaller network it would not train enough in the time left",
    EndReason.TOO_LONG: "would not finish its first epochs in the epochs left",
    EndReason.NO_ROOM: "its checkpoints would not fit into what is left of the disk budget",
}
NO_ROOM_LEFT = {
    EndReason.TOO_SLOW: "no room for another full trial in the time left",
    EndReason.TOO_LONG: "no room for another full trial in the epochs left",
    EndReason.NO_ROOM: "what checkpoints may take on disk is used up; no more trials are begun",
}
"""What to say where the search ends because nothing fits any more, by why the last candidates did not."""


class TooLargeError(LimitExceededError):
    """Too little of a budget is left for a candidate; ``code`` says of which."""

    def __init__(self, code: EndReason) -> None:
        super().__init__(_SENTENCES[code])
        self.code = code


class Admission:
    """That of one search, which says of each candidate whether it is ``alone``: whether there is no other network yet.

    Then anything is better than nothing.
    """

    def __init__(
        self,
        candidates: Proposals,
        timetable: Timetable,
        runtime: RuntimeModel,
        criteria: StoppingCriteria,
        listener: Listener,
    ) -> None:
        self._candidates = candidates
        self._timetable = timetable
        self._runtime = runtime
        self._criteria = criteria
        self._listener = listener

    def fit(self, proposal: Proposal, *, alone: bool, scout: bool = False) -> Proposal:
        """``proposal``, or one of smaller sizes where the time is too short for it; what a person asked for stays.

        A ``scout`` has no more time than the other scouts. Raises ``TooLargeError`` where it would have to be much
        smaller and is to be trained in full, and ``UnbuildableError``.
        """
        complexity = self._candidates.complexity(proposal.candidate)
        epoch_s, left_s = self._runtime.epoch_s(complexity), self._timetable.trial_s
        if proposal.by_hand or epoch_s is None or math.isinf(left_s):
            return proposal
        if scout:
            affordable_s = self._scout_epoch_s
        else:
            most = proposal.candidate[1].epochs
            affordable_s = left_s / self._timetable.wanted_epochs(complexity, epoch_s, most)
        if epoch_s <= TOLERANCE * affordable_s:
            return proposal
        longest_s = max(affordable_s, self._runtime.least_epoch_s)
        smaller = self._candidates.scale(
            proposal, lambda cost: (self._runtime.epoch_s(cost) or 0.0) <= longest_s
        )
        share = self._candidates.complexity(smaller.candidate).flops / complexity.flops
        if not (alone or scout) and MOST_SHRINKING * share < 1:
            raise TooLargeError(EndReason.TOO_SLOW)
        if share < 1 and not scout:
            self._tell(smaller, share)
        return smaller

    @property
    def _scout_epoch_s(self) -> float:
        """Seconds that an epoch of all images may take of a network that is scouted."""
        plan = self._timetable.plan
        assert plan.fidelity is not None
        return plan.scout_s / (plan.fidelity.epochs * self._timetable.epoch_share(plan.fidelity.share))

    def epochs(self, complexity: Complexity, most: int, *, alone: bool, scout: bool = False) -> int:
        """As many of ``most`` epochs as fit the time left, so that the learning rate is annealed when it ends.

        Even the only one may end within itself. Raises ``TooLargeError`` when too little of a budget is left.
        """
        if self._criteria.epochs_left < first_rung(most):
            raise TooLargeError(EndReason.TOO_LONG)
        affordable = int(min(most, self._criteria.epochs_left))
        if scout:
            fidelity = self._timetable.plan.fidelity
            assert fidelity is not None
            return min(affordable, fidelity.epochs)
        epoch_s = self._runtime.epoch_s(complexity)
        if epoch_s is None:
            return affordable
        wanted = self._timetable.wanted_epochs(complexity, epoch_s, most)
        if not alone and not self._timetable.fits(epoch_s, wanted):
            raise TooLargeError(EndReason.TOO_SLOW)
        return max(1, round(min(affordable, self._timetable.promised_epochs(epoch_s))))

    def _tell(self, smaller: Proposal, share: float) -> None:
        family = smaller.candidate[0].name
        text = f"trial {smaller.number}: {family} with {share:.0%} of the multiply-adds, as the time is short"
        self._listener(Notice(text=text))
