"""Home: where everything lies that a study leaves behind."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """The directory of ``--home`` / ``CONVSCOUT_HOME`` (default ``./runs``), made absolute.

    convscout.db            the ledger of all studies (Optuna)
    mlflow.db, mlflow-artifacts/   what the MLflow UI shows
    cache/                  decoded datasets, downloads and calibrations
    studies/NAME/           one study: config.toml, trials/NNNNN/, ensemble.json, export/
    """

    root: Path

    @classmethod
    def at(cls, path: str | os.PathLike[str] | None = None) -> Home:
        """The home at ``path``, or where the environment says, or ``./runs``."""
        return cls(Path(path or os.environ.get("CONVSCOUT_HOME") or "runs").expanduser().absolute())

    @property
    def database(self) -> Path:
        return self.root / "convscout.db"

    @property
    def storage_url(self) -> str:
        return f"sqlite:///{self.database}"

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

    def trial(self, study: str, number: int) -> Path:
        return self.study(study) / "trials" / f"{number:05d}"
