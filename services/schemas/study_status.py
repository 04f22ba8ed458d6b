"""How a study stands: in a word, in a sentence, and with the next command to type."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class StudyStatus(StrEnum):
    """How a study stands."""

    QUEUED = "queued"  # waits for its turn
    STARTING = "starting"  # its process has begun and reads the data
    RUNNING = "running"
    PAUSING = "pausing"  # each running trial ends its epoch first
    STOPPING = "stopping"
    PAUSED = "paused"
    STOPPED = "stopped"  # by a person
    INTERRUPTED = "interrupted"  # its process was killed
    FINISHED = "finished"
    NO_MODEL = "no_model"  # it ran to its end, and none of its trials can become a model
    FAILED = "failed"  # its process ended with an error

    @property
    def active(self) -> bool:
        """Whether a process runs it, or will by itself."""
        return self in _ACTIVE

    @property
    def live(self) -> bool:
        """Whether a process runs it now."""
        return self.active and self is not StudyStatus.QUEUED

    @property
    def wrong(self) -> bool:
        """Whether its latest run ended with an error, which says what came of it."""
        return self in (StudyStatus.NO_MODEL, StudyStatus.FAILED)

    def sentence(self, error: str = "", *, begun: bool = True) -> str:
        """For a person. ``error`` is what went wrong, if anything did; ``begun`` whether the study has any trial."""
        if self is StudyStatus.NO_MODEL:
            return error
        if self is StudyStatus.FAILED:
            return (
                f"it ended with an error{'' if begun else ' before its first trial'}{error and ': '}{error}"
            )
        return _SENTENCES[self]

    def next_command(self, name: str, *, model: str, told: str = "") -> str:
        """What to type next for the study called ``name``; ``model`` is what `predict` finds its model by.

        ``told`` is the command that its latest run named as it ended, if any.
        """
        if self.wrong and told:
            return told
        return _NEXT.get(self, "convscout resume {name}").format(name=name, model=model)


_ACTIVE = (
    StudyStatus.QUEUED,
    StudyStatus.STARTING,
    StudyStatus.RUNNING,
    StudyStatus.PAUSING,
    StudyStatus.STOPPING,
)
_SENTENCES: Mapping[StudyStatus, str] = {
    StudyStatus.QUEUED: "it waits for its turn",
    StudyStatus.STARTING: "its process has begun and reads the data",
    StudyStatus.RUNNING: "a process runs it",
    StudyStatus.PAUSING: "it pauses as soon as each running trial has ended its epoch",
    StudyStatus.STOPPING: "its process has been asked to stop",
    StudyStatus.PAUSED: "it is paused and goes on when it is resumed",
    StudyStatus.STOPPED: "a person stopped it; every finished epoch is kept",
    StudyStatus.INTERRUPTED: (
        "its process was killed, or had no room on disk to say how it ended; every finished epoch is kept"
    ),
    StudyStatus.FINISHED: "it ran to its end and has a model",
}
_NEXT: Mapping[StudyStatus, str] = {
    StudyStatus.QUEUED: "convscout show {name}",
    StudyStatus.STARTING: "convscout show {name}",
    StudyStatus.RUNNING: "convscout trials {name}",
    StudyStatus.PAUSING: "convscout show {name}",
    StudyStatus.STOPPING: "convscout show {name}",
    StudyStatus.FINISHED: "convscout predict {model} IMAGE.png",
    StudyStatus.NO_MODEL: "convscout trials {name}",
}
"""Every other one goes on when it is resumed."""
