"""Deletion of studies, which can be undone for a while: until then nothing is touched but a note in the ledger."""

from __future__ import annotations

import datetime
import shutil
import time

from convscout.search_space.errors import StudyNotFoundError, StudyStateError
from convscout.services.config.home import Home
from convscout.services.config.study_ref import StudyRef
from convscout.services.ledger.database import open_storage
from convscout.services.ledger.fencing import HOME_KEY
from convscout.services.ledger.lease import holder, lease
from convscout.services.ledger.ledger import DELETED_NOTE, Ledger
from convscout.services.ledger.ownership import is_foreign
from convscout.services.ledger.tables import remove_study

UNDO_S = 7 * 86_400.0
"""How long a deleted study can be restored, in seconds, unless somebody says otherwise."""


def delete(ref: StudyRef, undo_s: float = UNDO_S) -> datetime.datetime:
    """Let there be no study of that name any more; returns until when ``restore`` can bring it back.

    Raises ``StudyNotFoundError``, and ``StudyStateError`` for one that is running.
    """
    Ledger.require(ref)
    if found := holder(ref):
        raise StudyStateError(
            f"study {ref.name!r} is being run by {found}; stop it first",
            next_command=f"convscout stop {ref.name}",
        )
    until_s = time.time() + undo_s
    with lease(ref) as fence:
        Ledger.open(ref, fence).set_note(DELETED_NOTE, until_s)
    return datetime.datetime.fromtimestamp(until_s, datetime.UTC)


def deleted(home: Home) -> dict[str, datetime.datetime]:
    """The deleted studies that can still be restored, and until when."""
    return {
        name: datetime.datetime.fromtimestamp(until_s, datetime.UTC)
        for name, until_s in Ledger.deleted(home).items()
    }


def restore(ref: StudyRef) -> None:
    """Undo ``delete``. Raises ``StudyNotFoundError`` for a study that was not deleted, or too long ago."""
    if ref.name not in Ledger.deleted(ref.home):
        known = ", ".join(Ledger.deleted(ref.home)) or "none"
        raise StudyNotFoundError(f"no study {ref.name!r} was deleted lately; those that were: {known}")
    with lease(ref) as fence:
        Ledger.open(ref, fence).set_note(DELETED_NOTE, None)


def purge(home: Home) -> list[str]:
    """Remove for good what can no longer be restored: ledger, files and MLflow's runs; returns the studies' names.

    A study of another home that shares the ledger is left to that, which has its files.
    """
    now = time.time()
    due = [name for name, until_s in Ledger.deleted(home).items() if until_s <= now]
    ledgers = [Ledger.open(home.study(name), even_deleted=True) for name in due]
    own = [ledger for ledger in ledgers if not is_foreign(home, ledger.note(HOME_KEY))]
    for ledger in own:
        _remove(ledger)
    return [ledger.name for ledger in own]


def _remove(ledger: Ledger) -> None:
    from convscout.services.tracking.removal import remove_runs  # MLflow takes seconds to import

    remove_runs(ledger)
    shutil.rmtree(ledger.ref.directory, ignore_errors=True)
    # the ledger last: what a crash leaves before is purged again
    remove_study(open_storage(ledger.home), ledger.name)
