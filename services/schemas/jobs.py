"""Kinds and states of jobs, for whoever tells of jobs without running any."""

from __future__ import annotations

from enum import StrEnum


class JobKind(StrEnum):
    """What a job does. The first two run a study and take their turn; the others are short and begin at once."""

    SEARCH = "search"
    RESUME = "resume"
    FRONT = "front"
    ENSEMBLE = "ensemble"
    EXPORT = "export"
    REPORT = "report"

    @property
    def runs_study(self) -> bool:
        """Whether it trains, and so needs cores of its own."""
        return self in (JobKind.SEARCH, JobKind.RESUME)


class JobState(StrEnum):
    """How a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    LOST = "lost"  # its process was killed

    @property
    def active(self) -> bool:
        """Whether something is still to come."""
        return self in (JobState.QUEUED, JobState.RUNNING)
