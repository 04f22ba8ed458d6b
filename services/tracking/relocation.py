"""A home that was moved or copied: how it notices, and what it does about it before anything is written there."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from convscout.search_space.errors import ConvscoutError
from convscout.services.config.home import Home
from convscout.services.config.home_identity import HomeIdentity, HomeStanding, standing
from convscout.services.ledger.ownership import recorded_identity
from convscout.services.tracking.artifact_links import misplaced, relocate, tagged_homes

_LOCK = ".identity.lock"


def settle(home: Home, notify: Callable[[str], None]) -> None:
    """Let ``home`` have an identity, know where it lies, and have an MLflow database that leads to its own artifacts.

    To be called before anything is written that concerns MLflow. A copy gets an identity of its own. ``notify`` hears
    of a move and of a copy. Raises ``ConvscoutError`` when MLflow's database stays locked.
    """
    if standing(home.root) is HomeStanding.AT_HOME and not _looked_up(misplaced, home):
        return
    home.root.mkdir(parents=True, exist_ok=True)
    with (home.root / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        identity, told = _identify(home)
        identity.save(home.root)
        foreign = _looked_up(misplaced, home)
        try:
            relocate(home, identity)
        except sqlite3.OperationalError as error:
            raise ConvscoutError(
                f"this home was moved or copied, and {home.tracking_database} cannot be told so: {error}; end the "
                "MLflow server that uses it, then try again"
            ) from error
        except sqlite3.DatabaseError as error:
            notify(f"{home.tracking_database} is damaged, so its links were not looked at: {error}")
    if told:
        notify(told)
    elif foreign:
        notify(f"MLflow's artifacts were looked for in {', '.join(foreign)}, and now are in {home.artifacts}")


def _identify(home: Home) -> tuple[HomeIdentity, str]:
    """Which home it is from now on, and what a person should know of that, if anything."""
    known = HomeIdentity.load(home.root)
    if known is None:
        if recorded := recorded_identity(home):  # its runs on a tracking server can be found by nothing else
            told = f"the identity of this home was lost, and is again what its ledger knows: {recorded}"
            return HomeIdentity(id=recorded, place=str(home.root)), told
        # one whose identity was lost keeps its runs
        return replace(HomeIdentity.new(home.root), former_ids=_looked_up(tagged_homes, home)), ""
    match known.standing(home.root):
        case HomeStanding.MOVED:
            return known.moved_to(home.root), f"this home was moved here from {known.place}"
        case HomeStanding.COPIED:
            told = f"this home is a copy of {known.place}; from now on its runs in MLflow are its own"
            return known.copied_to(home.root), told
        case _:
            return known, ""


def _looked_up(look: Callable[[Home], tuple[str, ...]], home: Home) -> tuple[str, ...]:
    with suppress(sqlite3.Error):  # who writes to it next says what is wrong
        return look(home)
    return ()
