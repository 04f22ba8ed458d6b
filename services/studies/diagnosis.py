"""Diagnosis: what one check of the doctor found, and what a person can do about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How a check went. Only FAIL keeps a search from running."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What one check found of ``subject``, and what a person can do about it, if anything."""

    subject: str
    status: Status
    text: str
    mend: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def fine(subject: str, text: str) -> Diagnosis:
    """A check that went well."""
    return Diagnosis(subject=subject, status=Status.OK, text=text)


def warning(subject: str, text: str, mend: str) -> Diagnosis:
    """A search will run, but something should be mended."""
    return Diagnosis(subject=subject, status=Status.WARN, text=text, mend=mend)


def failing(subject: str, text: str, mend: str) -> Diagnosis:
    """A search cannot run before this is mended."""
    return Diagnosis(subject=subject, status=Status.FAIL, text=text, mend=mend)
