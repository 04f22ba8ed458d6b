"""ServiceSettings: what the person who starts the service decides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from convscout.services.studies.deletion import UNDO_S


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """``data_roots`` are the directories under which images may lie that a study names by a path.

    ``cores`` is how many of this machine's processor cores studies share, ``slice_s`` how many seconds a study runs
    before another of its priority that waits has its turn, ``undo_s`` how long a deleted study can be restored.
    ``upload_bytes`` bounds one uploaded dataset, ``uploads_bytes`` all of them together; a minute allows
    ``requests_per_minute`` requests of one client.
    """

    data_roots: tuple[Path, ...] = ()
    cores: int | None = None
    slice_s: float = 900.0
    undo_s: float = UNDO_S
    upload_bytes: int = 2 * 2**30
    uploads_bytes: int = 20 * 2**30
    requests_per_minute: int = 6000
