"""Home: where everything lies that a study leaves behind."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from convscout.search_space.errors import ConfigError, Problem, UserError
from convscout.services.config.home_identity import HomeIdentity
from convscout.services.config.sqlite_url import sqlite_url
from convscout.services.config.study_ref import StudyRef
from convscout.trials.checkpoints.durable_files import Durability, put_file

EVALUATION_FILE = "evaluation.json"  # in a study's report: evaluations by the name of who answered
PASSWORD_HINT = "its password is never stored; supply it by PGPASSWORD or ~/.pgpass"


@dataclass(frozen=True)
class Home:
    """The directory of ``--home`` / ``CONVSCOUT_HOME`` (default ``./runs``), made absolute.

    convscout.db            the ledger of all studies (Optuna), unless it is in PostgreSQL
    storage                 the URL of that PostgreSQL database, without its password
    identity.json    which home this is, and where it lay when it was last written to
    mlflow.db, mlflow-artifacts/   what the MLflow UI shows
    cache/                  decoded datasets, downloads and calibrations
    studies/NAME/           one study: config.toml, trials/NNNNN/, ensemble.json, export/

    ``storage`` is what ``--storage`` / ``CONVSCOUT_STORAGE`` said, perhaps with a password, or None.
    """

    root: Path
    storage: str | None = None

    @classmethod
    def at(cls, path: str | os.PathLike[str] | None = None, storage: str | None = None) -> Home:
        """The home at ``path``, or where the environment says, or ``./runs``.

        Raises ``ConfigError`` for a path that databases or lines of text cannot hold, and ``UserError`` when
        ``storage`` is no URL of a PostgreSQL database, or not the one of this home.
        """
        root = Path(path or os.environ.get("CONVSCOUT_HOME") or "runs").expanduser().absolute()
        _refuse_unwritable(root)
        given = storage or os.environ.get("CONVSCOUT_STORAGE")
        if not given:
            return cls(root)
        from convscout.services.config.storage_url import (  # SQLAlchemy is slow
            parse_storage,
            without_password,
        )

        home = cls(root, parse_storage(given))
        home._refuse_another_storage(without_password(home.storage or given))
        return home

    @property
    def id(self) -> str:
        """Its identity; empty of a home that no version wrote to that knows identities."""
        known = HomeIdentity.load(self.root)
        return known.id if known else ""

    def rebase(self, stored: str) -> str:
        """A path that was stored before the home was moved or copied here, as it is called now; else as it is."""
        known = HomeIdentity.load(self.root) if Path(stored).is_absolute() else None
        return str(known.rebase(Path(stored))) if known else stored

    @property
    def keeps_ledger(self) -> bool:
        """Whether the ledger is a file in the home, and no server's database."""
        return self.storage_url.startswith("sqlite")

    @property
    def database(self) -> Path:
        return self.root / "convscout.db"

    @property
    def storage_url(self) -> str:
        """Of the ledger's database, for SQLAlchemy; it may hold a password."""
        return self.storage or self._remembered or sqlite_url(self.database)

    @property
    def has_ledger(self) -> bool:
        """Whether a ledger may exist; a database that a server keeps has to be asked."""
        return not self.keeps_ledger or self.database.exists()

    def remember_storage(self) -> str:
        """Let later commands find the storage by the home alone; returns what a person should know of it, if any."""
        if self.storage is None or self._remembered is not None:
            return ""
        from convscout.services.config.storage_url import without_password  # SQLAlchemy is slow to import

        shown = without_password(self.storage)
        self.root.mkdir(parents=True, exist_ok=True)
        put_file(self._storage_file, f"{shown}\n".encode(), Durability.ATOMIC)
        hint = f"; {PASSWORD_HINT}" if shown != self.storage else ""
        return f"this home keeps its ledger in {shown}{hint}"

    @property
    def tracking_database(self) -> Path:
        return self.root / "mlflow.db"

    @property
    def tracking_uri(self) -> str:
        """Of MLflow's database in this home."""
        return sqlite_url(self.tracking_database)

    @property
    def artifacts(self) -> Path:
        return self.root / "mlflow-artifacts"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def study(self, name: str) -> StudyRef:
        """The study called ``name`` here, whether there is one or not."""
        return StudyRef(self, name)

    @property
    def _storage_file(self) -> Path:
        return self.root / "storage"

    @property
    def _remembered(self) -> str | None:
        if not self._storage_file.exists():
            return None
        return self._storage_file.read_text(encoding="utf-8").strip()

    def _refuse_another_storage(self, given: str) -> None:
        known = self._remembered
        if known is None and self.database.exists():
            known = str(self.database)
        if known not in (None, given):
            raise UserError(
                f"--storage: the home {self.root} keeps its ledger in {known}, but got {given}; "
                f"leave --storage and CONVSCOUT_STORAGE out, or choose another --home"
            )


def _refuse_unwritable(root: Path) -> None:
    """Raise ``ConfigError`` for control characters, and for bytes that are no text in the file system's encoding."""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in str(root)):
        rule = "must be a path without line breaks, other control characters and undecodable bytes; choose another"
        raise ConfigError([Problem(field="--home", value=str(root), rule=rule)])
