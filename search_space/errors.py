"""Every exception convscout raises on purpose.

ConvscoutError                 one line of cause, perhaps the next command to type; exit 1
├── UserError                  the person can mend it: names field, value, what is allowed; exit 2
│   ├── ConfigError            one or more settings are wrong (all of them are reported at once)
│   │   └── DatasetError       a dataset cannot be uploaded, found or changed
│   │       ├── DatasetNotFoundError   there is none of that name
│   │       ├── DatasetConflictError   its name is taken, or it is in use
│   │       ├── UploadTooLargeError    it has more bytes than there is room for
│   │       ├── NoRoomError            the disk, or what uploads may take of it, is full
│   │       └── BusyError              others are being read or uploaded; try again in a moment
│   ├── UnknownNameError       no such family, sampler, dataset … (lists the valid ones)
│   ├── UnbuildableError       this architecture cannot be built for these images
│   ├── DataError              the labelled images cannot be used as they are
│   │   └── IndivisibleError   they are too few, or of too few classes, to be split
│   ├── StudyNotFoundError     no study of that name under this home
│   ├── StudyExistsError       that name is taken by a study with other settings
│   ├── StudyStateError        it cannot be done to the study, or the trial, as it stands now
│   └── ExportError            an export directory is damaged, foreign or in the way
├── LimitExceededError         a candidate costs more than the study allows (never reaches a person)
├── ExhaustedError             every candidate of a finite space was proposed (never reaches a person)
├── DuplicateError             a candidate was trained before, as often as wanted (never reaches a person)
├── DivergedError              a trial's loss became NaN or infinite
├── CorruptCheckpointError     a checkpoint does not match its hash
├── StaleAttemptError          a newer attempt at the same trial has taken over
├── StudyLockedError           another controller is running this study
├── LeaseLostError             another controller has taken this study over; nothing more may be written
├── LedgerAwayError            the database of the ledger does not answer, or cannot be opened
├── NoModelError               a search ran to its end, and none of its trials can become a model
└── StudyInterrupted           Ctrl-C or SIGTERM: everything finished is kept; exit 130
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Self

_NUM_NAMED = 50  # names that an error lists
_LONGEST = 200  # characters of what a person gave that an error repeats


def list_names(names: Collection[str], most: int = 5) -> str:
    """The first of ``names``, at most ``most`` of them, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(islice(names, most)) + more


def nearest(name: str, known: Iterable[str]) -> str:
    """The one of ``known`` that ``name`` is most likely meant to be, or nothing."""
    if len(name) > _LONGEST:  # no slip of a hand, and comparing would take minutes
        return ""
    return next(iter(difflib.get_close_matches(name, list(known), n=1)), "")


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"


class ConvscoutError(Exception):
    """Root of the tree. ``next_command`` is what the person can type to go on, or empty."""

    exit_code = 1

    def __init__(self, message: str, *, next_command: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_command = next_command


class UserError(ConvscoutError):
    """Something the person gave is wrong, and the message says how to mend it."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One wrong setting: ``field`` got ``value``, but ``rule`` must hold."""

    field: str
    value: object
    rule: str

    def __str__(self) -> str:
        return f"{_shortened(self.field)}: {self.rule}, but got {_shortened(repr(self.value))}"


class ConfigError(UserError):
    """One or more settings break their rule. ``problems`` holds them all."""

    def __init__(self, problems: Iterable[Problem], *, source: str = "") -> None:
        self.problems = tuple(problems)
        where = f"{source}: " if source else ""
        super().__init__("\n".join(f"{where}{problem}" for problem in self.problems))


class UnknownNameError(UserError):
    """A name that no registry entry carries."""

    @classmethod
    def among(cls, kind: str, name: str, known: Collection[str], *, note: str = "") -> Self:
        """The error that lists the ``known`` names of a ``kind`` and suggests the nearest to ``name``."""
        near = nearest(name, known)
        hint = f" Did you mean {near!r}?" if near else ""
        listed = list_names(known, _NUM_NAMED)
        return cls(f"unknown {kind} {_shortened(repr(name))}{note}; choose from {listed}.{hint}")


class DatasetError(ConfigError):
    """A dataset cannot be uploaded, found or changed."""

    @classmethod
    def of(cls, field: str, value: object, rule: str) -> Self:
        """The error about one ``field``."""
        return cls([Problem(field=field, value=value, rule=rule)])


class DatasetNotFoundError(DatasetError, UnknownNameError):
    """There is no dataset of that name."""


class DatasetConflictError(DatasetError):
    """The name of a dataset is taken, or the dataset is in use."""


class UploadTooLargeError(DatasetError):
    """An upload has more bytes than there is room for."""


class NoRoomError(DatasetError):
    """The disk, or what uploads may take of it, is full."""


class BusyError(DatasetError):
    """Others are being read or uploaded; it is worth trying again in a moment."""


class UnbuildableError(UserError):
    """The architecture cannot be built for these images."""


class DataError(UserError):
    """The labelled images cannot be used as they are."""


class IndivisibleError(DataError):
    """The labelled images are too few, or of too few classes, to be split."""


class StudyNotFoundError(UserError):
    """No study of that name under this home."""


class StudyExistsError(UserError):
    """The name is taken by a study with other settings."""


class StudyStateError(UserError):
    """What was asked for cannot be done to the study, or the trial, as it stands now."""


class ExportError(UserError):
    """An export directory is damaged, foreign or in the way."""


class LimitExceededError(ConvscoutError):
    """A candidate costs more than the study allows.

    ``excess`` maps each limit exceeded to by what share it is: 0.5 is half as much again as allowed.
    """

    def __init__(self, message: str, *, excess: Mapping[str, float] | None = None) -> None:
        super().__init__(message)
        self.excess = dict(excess or {})


class ExhaustedError(ConvscoutError):
    """Every candidate of a finite space was proposed."""


class DuplicateError(ConvscoutError):
    """A candidate was trained before, as often as the study wants."""


class DivergedError(ConvscoutError):
    """A trial's loss became NaN or infinite."""


class CorruptCheckpointError(ConvscoutError):
    """A checkpoint does not match its hash."""


class StaleAttemptError(ConvscoutError):
    """A newer attempt at the same trial has taken over; this one must fall silent."""


class StudyLockedError(ConvscoutError):
    """Another controller is running this study."""


class LeaseLostError(ConvscoutError):
    """Another controller has taken this study over; this one may write nothing more."""


class LedgerAwayError(ConvscoutError):
    """The database of the ledger does not answer, or cannot be opened."""


class NoModelError(ConvscoutError):
    """A search ran to its end, and none of its trials can become a model; the message says what became of them."""


class StudyInterrupted(ConvscoutError):
    """The person asked the search to stop, or to pause once each trial has ended its epoch; all of that is on disk."""

    exit_code = 130

    def __init__(self, message: str, *, next_command: str = "", paused: bool = False) -> None:
        super().__init__(message, next_command=next_command)
        self.paused = paused
