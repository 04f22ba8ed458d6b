"""Deletion of studies, which can be undone for a while: until then nothing is touched but a note in the ledger."""

from __future__ import annotations

import datetime
import shutil
import time

from search_space.errors import StudyNotFoundError, StudyStateError
from services.home import Home
from services.lease import holder, lease
from services.storage import open_storage
from services.study import DELETED_NOTE, Ledger
from services.study_tables import remove_study

UNDO_S = 7 * 86_400.0
"""How long a deleted study can be restored, in seconds, unless somebody says otherwise."""


def delete(home: Home, name: str, undo_s: float = UNDO_S) -> datetime.datetime:
    """Let there be no study of that name any more; returns until when ``restore`` can bring it back.

    Raises ``StudyNotFoundError``, and ``StudyStateError`` for one that is running.
    """
    Ledger.require(home, name)
    if found := holder(home, name):
        raise StudyStateError(
            f"study {name!r} is being run by {found}; stop it first", next_command=f"convscout stop {name}"
        )
    until_s = time.time() + undo_s
    with lease(home, name) as fence:
        Ledger.open(home, name, fence).set_note(DELETED_NOTE, until_s)
    return datetime.datetime.fromtimestamp(until_s, datetime.UTC)


def deleted(home: Home) -> dict[str, datetime.datetime]:
    """The deleted studies that can still be restored, and until when."""
    return {
        name: datetime.datetime.fromtimestamp(until_s, datetime.UTC)
        for name, until_s in Ledger.deleted(home).items()
    }


def restore(home: Home, name: str) -> None:
    """Undo ``delete``. Raises ``StudyNotFoundError`` for a study that was not deleted, or too long ago."""
    if name not in Ledger.deleted(home):
        known = ", ".join(Ledger.deleted(home)) or "none"
        raise StudyNotFoundError(f"no study {name!r} was deleted lately; those that were: {known}")
    with lease(home, name) as fence:
        Ledger.open(home, name, fence).set_note(DELETED_NOTE, None)


def purge(home: Home) -> list[str]:
    """Remove for good what can no longer be restored: ledger, files and MLflow's runs; returns the studies' names."""
    from services.tracking.removal import remove_runs  # MLflow takes seconds to import

    now = time.time()
    due = [name for name, until_s in Ledger.deleted(home).items() if until_s <= now]
    for name in due:
        remove_runs(home, name)
        shutil.rmtree(home.study(name), ignore_errors=True)
        # the ledger last: what a crash leaves before is purged again
        remove_study(open_storage(home), name)
    return due
