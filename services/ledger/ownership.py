"""Which home a study belongs to. A home knows which one it is; the ledger knows whose study it holds.

A ledger that lies in its home comes with it, so whatever it says, its studies are that home's. One that a server keeps
may be shared, and a copy of a home sees the original's studies there: its own files would soon differ from what the
ledger says of them, so only the home that the ledger names may write.
"""

from __future__ import annotations

import socket

from convscout.search_space.errors import UserError
from convscout.services.config.home import Home
from convscout.services.config.home_identity import HomeIdentity, HomeStanding
from convscout.services.config.study_ref import StudyRef
from convscout.services.ledger.database import open_storage, shown
from convscout.services.ledger.fencing import HOME_KEY, LEASE_KEY, Lease
from convscout.services.ledger.optuna_schema import STUDY_SYSTEM, notes


def place_of(home: Home) -> str:
    """Where the files of its studies lie, as a lease says it."""
    return f"{socket.gethostname()}:{home.root}"


def is_foreign(home: Home, owner: str | None) -> bool:
    """Whether a study of the home called ``owner`` is not one of ``home``; older versions named no owner."""
    if not owner or home.keeps_ledger:
        return False
    known = HomeIdentity.load(home.root)
    return known is None or known.id != owner or known.standing(home.root) is HomeStanding.COPIED


def refuse_foreign(ref: StudyRef, owner: str | None, files: str) -> None:
    """Raise ``UserError`` for a study of another home, whose ``files`` lie as its lease says."""
    if is_foreign(ref.home, owner):
        raise UserError(
            f"study {ref.name!r} belongs to the home {files}, with which {ref.home.root} shares the ledger "
            f"{shown(ref.home)}; go on there, or, if that home is gone and the study's directory is here, take it over",
            next_command=f"convscout resume {ref.name} --take-over",
        )


def recorded_identity(home: Home) -> str:
    """The identity that the ledger knows of the home at this place, or nothing: for one whose own note was lost."""
    if not home.has_ledger:
        return ""
    engine = open_storage(home)
    owners, leases = notes(engine, HOME_KEY), notes(engine, LEASE_KEY, STUDY_SYSTEM)
    here = (
        owners[name]
        for name, lease in leases.items()
        if name in owners and Lease.from_dict(lease).files == place_of(home)
    )
    return next(here, "")
