"""TrackingStore: which MLflow a study is projected into, and how to open it safely."""

from __future__ import annotations

import logging
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias
from urllib.parse import unquote, urlsplit

from mlflow.entities import Metric, Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking.client import MlflowClient
from mlflow.utils.file_utils import ExclusiveFileLock
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from convscout.services.config.home import Home
from convscout.services.config.sqlite_url import sqlite_url
from convscout.services.tracking.environment import server_address

TRACKING_ERRORS = (MlflowException, SQLAlchemyError)
"""What a tracking store that does not answer raises, or one whose database is damaged."""

MetricHistories: TypeAlias = Mapping[tuple[str, str], Sequence[Metric]]
"""All values of metrics, by the run's id and the metric's name."""


@dataclass(frozen=True, kw_only=True)
class TrackingStore:
    """An MLflow tracking store.

    ``uri`` is ``http://…``, or that of an SQLite file by its absolute path. ``artifacts`` is the directory for
    plots, checkpoints and models; None leaves their place to the server.
    """

    uri: str
    artifacts: Path | None

    @classmethod
    def at(cls, home: Home) -> Self:
        """The server that ``MLFLOW_TRACKING_URI`` names, else the database inside ``home``."""
        if uri := server_address():
            return cls(uri=uri, artifacts=None)
        return cls(uri=home.tracking_uri, artifacts=home.artifacts)

    @property
    def database(self) -> Path | None:
        """The SQLite file; None where a server keeps the runs."""
        named = make_url(self.uri).database if self.uri.startswith("sqlite") else None
        return Path(named) if named else None

    def client(self) -> MlflowClient:
        """A client of this store, whose schema exists. Raises ``MlflowException`` when it is away."""
        _be_quiet()
        self._initialise()
        return MlflowClient(self.uri, registry_uri=self.uri)

    def reader(self) -> MlflowClient | None:
        """A client of this store as it is, to read from; None where there is none."""
        _be_quiet()
        if self.database is not None and not self.database.exists():
            return None
        return MlflowClient(self.uri, registry_uri=self.uri)

    def metric_histories(self, client: MlflowClient, runs: Sequence[Run]) -> MetricHistories:
        """Every value that was logged of every metric of ``runs``.

        The database inside a home is asked once a metric, for all runs together. A client of a server has no call for
        that: it asks once a run and metric.
        """
        found: dict[tuple[str, str], list[Metric]] = defaultdict(list)
        if self.artifacts is None:
            for run in runs:
                for key in run.data.metrics:
                    found[run.info.run_id, key] = client.get_metric_history(run.info.run_id, key)
            return found
        database = SqlAlchemyStore(self.uri, self.artifacts.as_uri())  # type: ignore[no-untyped-call]
        ids = [run.info.run_id for run in runs]
        for key in sorted({key for run in runs for key in run.data.metrics}):
            for each in database.get_metric_history_bulk(ids, key, None):  # type: ignore[no-untyped-call]
                found[each.run_id, key].append(each)
        return found

    def put_artifacts(self, artifact_uri: str, path: Path, folder: str | None = None) -> None:
        """Put the file ``path``, or what that directory holds, into the ``folder`` of the artifacts of a run.

        MLflow's client would remember the ``artifact_uri`` by the run alone, and a copy of a home has the same runs.
        """
        repository = get_artifact_repository(artifact_uri, tracking_uri=self.uri)
        put = repository.log_artifacts if path.is_dir() else repository.log_artifact
        put(str(path), folder)  # type: ignore[no-untyped-call]

    def keeps_artifacts(self, run: Run) -> bool:
        """Whether the artifacts of a run that has some lie where they should; what a server has is not looked at."""
        place = urlsplit(run.info.artifact_uri)
        return self.artifacts is None or place.scheme != "file" or Path(unquote(place.path)).exists()

    def _initialise(self) -> None:
        if self.artifacts is None or self.database is None:
            return
        self.artifacts.parent.mkdir(parents=True, exist_ok=True)
        # several processes that open a fresh database at once crash in its migration
        with ExclusiveFileLock(str(self.artifacts.parent / ".mlflow.lock")):
            if not self.database.exists():
                _make(self.database, self.artifacts)
            SqlAlchemyStore(self.uri, self.artifacts.as_uri())  # type: ignore[no-untyped-call]


def _make(database: Path, artifacts: Path) -> None:
    """An empty ``database``, whole or not at all: a migration of MLflow's that is killed can never be gone on with."""
    for leftover in database.parent.glob(f".{database.name}.*"):
        leftover.unlink(missing_ok=True)
    # MLflow goes on with the connection to a file of the same name, even if that was removed
    fresh = database.with_name(f".{database.name}.{uuid.uuid4().hex}")
    store = SqlAlchemyStore(sqlite_url(fresh), artifacts.as_uri())  # type: ignore[no-untyped-call]
    store.engine.dispose()
    fresh.replace(database)


def _be_quiet() -> None:
    for noisy in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(noisy).setLevel(logging.ERROR)  # failures are reported once, in our words
