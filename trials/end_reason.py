"""EndReason: why a trial ended, as a code that programs decide by. The client knows it too, so it imports no torch."""

from __future__ import annotations

from enum import StrEnum


class EndReason(StrEnum):
    """The code of an end; the sentence beside it is for people. ``TrialState.after`` says which state it leads to."""

    COMPLETED = "completed"  # trained all its epochs
    SHORTENED = "shortened"  # its schedule ended with the time

    PRUNED = "pruned"
    FORECAST = "forecast"  # its first steps showed that it would not train enough in the time left
    BY_HAND = "by_hand"
    OUT_OF_TIME = "out_of_time"
    BUDGET_SPENT = "budget_spent"  # of epochs or of GPU time
    TARGET_REACHED = "target_reached"
    CONVERGED = "converged"

    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    ERROR = "error"  # any other; the sentence tells it
    WORKER_LOST = "worker_lost"
    DATA_CHANGED = "data_changed"

    LIMIT_EXCEEDED = "limit_exceeded"
    TOO_SLOW = "too_slow"  # for the time left, even as a smaller network
    TOO_LONG = "too_long"  # for the epochs left
    NO_ROOM = "no_room"  # for its checkpoints
    NOT_SCOUTED = "not_scouted"  # its turn came when the scouts' time was over
    DUPLICATE = "duplicate"
    UNBUILDABLE = "unbuildable"
    UNCOMMITTED = "uncommitted"  # a crash came between its proposal and its commit

    UNKNOWN = "unknown"  # another version of convscout ended the trial; only read, never given

    @property
    def did_not_fit(self) -> bool:
        """Whether nothing was wrong with the candidate: too little was left of the budgets to train it."""
        return self in (EndReason.TOO_SLOW, EndReason.TOO_LONG, EndReason.NO_ROOM)

    @classmethod
    def _missing_(cls, value: object) -> EndReason:
        return cls.UNKNOWN
