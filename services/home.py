"""Home: where everything lies that a study leaves behind."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from search_space.errors import UserError

PASSWORD_HINT = "its password is never stored; supply it by PGPASSWORD or ~/.pgpass"


@dataclass(frozen=True)
class Home:
    """The directory of ``--home`` / ``CONVSCOUT_HOME`` (default ``./runs``), made absolute.

    convscout.db            the ledger of all studies (Optuna), unless it is in PostgreSQL
    storage                 the URL of that PostgreSQL database, without its password
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

        Raises ``UserError`` when ``storage`` is no URL of a PostgreSQL database, or not the one of this home.
        """
        root = Path(path or os.environ.get("CONVSCOUT_HOME") or "runs").expanduser().absolute()
        given = storage or os.environ.get("CONVSCOUT_STORAGE")
        if not given:
            return cls(root)
        from services.storage_url import parse_storage  # SQLAlchemy takes a while to import

        home = cls(root, parse_storage(given))
        home._refuse_another_storage()
        return home

    @property
    def database(self) -> Path:
        return self.root / "convscout.db"

    @property
    def storage_url(self) -> str:
        """Of the ledger's database, for SQLAlchemy; it may hold a password."""
        return self.storage or self._remembered or f"sqlite:///{self.database}"

    @property
    def has_ledger(self) -> bool:
        """Whether a ledger may exist; a database that a server keeps has to be asked."""
        return not self.storage_url.startswith("sqlite") or self.database.exists()

    def remember_storage(self) -> str:
        """Let later commands find the storage by the home alone; returns what a person should know of it, if any."""
        if self.storage is None or self._remembered is not None:
            return ""
        from services.storage_url import without_password

        shown = without_password(self.storage)
        self.root.mkdir(parents=True, exist_ok=True)
        fresh = self._storage_file.with_name(f"storage.{os.getpid()}")
        fresh.write_text(shown + "\n", encoding="utf-8")
        fresh.replace(self._storage_file)
        hint = f"; {PASSWORD_HINT}" if shown != self.storage else ""
        return f"this home keeps its ledger in {shown}{hint}"

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.root / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path:
        return self.root / "mlflow-artifacts"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def study(self, name: str) -> Path:
        return self.root / "studies" / name

    def distilled(self, study: str) -> Path:
        """Where students of the ensemble are trained, and the best of them is exported."""
        return self.study(study) / "distilled"

    def report(self, study: str) -> Path:
        """Where the evaluation on the test images lies."""
        return self.study(study) / "report"

    def trial(self, study: str, number: int) -> Path:
        return self.study(study) / "trials" / f"{number:05d}"

    @property
    def _storage_file(self) -> Path:
        return self.root / "storage"

    @property
    def _remembered(self) -> str | None:
        if not self._storage_file.exists():
            return None
        return self._storage_file.read_text(encoding="utf-8").strip()

    def _refuse_another_storage(self) -> None:
        from services.storage_url import without_password

        assert self.storage is not None
        given, known = without_password(self.storage), self._remembered
        if known is None and self.database.exists():
            known = f"sqlite:///{self.database}"
        if known not in (None, given):
            raise UserError(
                f"--storage: the home {self.root} keeps its ledger in {known}, but got {given}; "
                f"leave --storage and CONVSCOUT_STORAGE out, or choose another --home"
            )
