"""The identity of a home: which one it is, wherever it lies now."""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from enum import Enum, auto
from pathlib import Path
from typing import Self

from convscout.search_space.errors import UserError
from convscout.trials.checkpoints.durable_files import put_file

IDENTITY_FILE = "identity.json"


class HomeStanding(Enum):
    """How a directory stands to the identity that lies in it."""

    UNKNOWN = auto()  # it has none: it is new, or an older version wrote it
    AT_HOME = auto()  # it lies where it was last written to
    MOVED = auto()
    COPIED = auto()  # the home that it is a copy of lies where it was


@dataclass(frozen=True, kw_only=True)
class HomeIdentity:
    """``id`` is a UUID, ``place`` where the home lay when it was last written to.

    ``former_ids`` and ``former_places`` are those that it, or the home it was copied from, had before.
    """

    id: str
    place: str
    former_ids: tuple[str, ...] = ()
    former_places: tuple[str, ...] = ()

    @classmethod
    def new(cls, root: Path) -> Self:
        """That of a home that has none."""
        return cls(id=str(uuid.uuid4()), place=str(root))

    @classmethod
    def load(cls, root: Path) -> Self | None:
        """That of the home at ``root``, if there is one. Raises ``UserError`` for a file that cannot be read."""
        file = root / IDENTITY_FILE
        try:
            values = json.loads(file.read_bytes())
            return cls(
                id=values["id"],
                place=values["place"],
                former_ids=tuple(values["former_ids"]),
                former_places=tuple(values["former_places"]),
            )
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{file}, which says which home this is, cannot be read ({type(error).__name__}: {error}); restore it "
                "from a copy, or remove it: the home then gets a new identity"
            ) from None

    def save(self, root: Path) -> None:
        """Write it into the home at ``root``."""
        put_file(root / IDENTITY_FILE, json.dumps(asdict(self), indent=2).encode())

    def standing(self, root: Path) -> HomeStanding:
        """How the home at ``root``, in which this was found, stands to it."""
        place = Path(self.place)
        with suppress(OSError):
            if place == root or place.samefile(root):  # a link, or a second name of one file system
                return HomeStanding.AT_HOME
        there = None
        with suppress(UserError):  # what lies there now, and is damaged, is not this home
            there = type(self).load(place)
        return HomeStanding.COPIED if there and there.id == self.id else HomeStanding.MOVED

    def moved_to(self, root: Path) -> Self:
        """The same home at another place."""
        return replace(self, place=str(root), former_places=_joined(self.former_places, self.place))

    def copied_to(self, root: Path) -> Self:
        """A home of its own that began as this one."""
        moved = self.moved_to(root)
        return replace(moved, id=str(uuid.uuid4()), former_ids=_joined(self.former_ids, self.id))

    def rebase(self, path: Path) -> Path:
        """``path``, which may lie under a place that the home had before, as it is called now."""
        for former in self.former_places:
            if path.is_relative_to(former):
                return Path(self.place) / path.relative_to(former)
        return path


def standing(root: Path) -> HomeStanding:
    """How the home at ``root`` stands to its identity."""
    known = HomeIdentity.load(root)
    return known.standing(root) if known else HomeStanding.UNKNOWN


def _joined(known: tuple[str, ...], value: str) -> tuple[str, ...]:
    return (*(each for each in known if each != value), value)
