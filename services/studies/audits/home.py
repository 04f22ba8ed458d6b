"""The home of a study: whether it was moved or copied and does not know it yet, and whose artifacts MLflow shows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress

from convscout.services.config.home import Home
from convscout.services.config.home_identity import HomeIdentity, HomeStanding
from convscout.services.studies.audits.finding import Finding, Remedy
from convscout.services.tracking.artifact_links import misplaced


def audit_home(home: Home) -> Iterator[Finding]:
    """What of ``home`` is still as it was at another place."""
    if known := HomeIdentity.load(home.root):
        what = {
            HomeStanding.MOVED: f"was moved here from {known.place}, and does not know it yet",
            HomeStanding.COPIED: f"is a copy of {known.place}, and still passes for it",
        }.get(known.standing(home.root))
        if what:
            yield Finding(where="home", what=what, remedy=Remedy.SETTLE)
    with suppress(sqlite3.Error):  # the audit of MLflow tells of that
        for directory in misplaced(home):
            what = f"looks for artifacts of this home in {directory}"
            yield Finding(where="MLflow", what=what, remedy=Remedy.SETTLE)
