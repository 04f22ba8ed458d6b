"""TrackingStore: which MLflow a study is projected into, and how to open it safely."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mlflow.entities import Experiment, LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking.client import MlflowClient
from mlflow.utils.file_utils import ExclusiveFileLock
from sqlalchemy.exc import SQLAlchemyError

from services.home import Home
from services.tracking.environment import server_address

TRACKING_ERRORS = (MlflowException, SQLAlchemyError)
"""What a tracking store that does not answer raises, or one whose database is damaged."""


@dataclass(frozen=True, kw_only=True)
class TrackingStore:
    """An MLflow tracking store.

    ``uri`` is absolute: ``sqlite:////…`` or ``http://…``. ``artifacts`` is the directory for plots,
    checkpoints and models; None leaves their place to the server.
    """

    uri: str
    artifacts: Path | None

    @classmethod
    def at(cls, home: Home) -> Self:
        """The server that ``MLFLOW_TRACKING_URI`` names, else the database inside ``home``."""
        if uri := server_address():
            return cls(uri=uri, artifacts=None)
        return cls(uri=home.tracking_uri, artifacts=home.artifacts)

    def client(self) -> MlflowClient:
        """A client of this store, whose schema exists. Raises ``MlflowException`` when it is away."""
        _be_quiet()
        self._initialise()
        return MlflowClient(self.uri, registry_uri=self.uri)

    def reader(self) -> MlflowClient | None:
        """A client of this store as it is, to read from; None where there is none."""
        _be_quiet()
        if self.uri.startswith("sqlite:///") and not Path(self.uri.removeprefix("sqlite:///")).exists():
            return None
        return MlflowClient(self.uri, registry_uri=self.uri)

    def experiment_id(self, client: MlflowClient, study: str) -> str:
        """The id of the experiment of ``study``, which is made if need be, or restored if somebody deleted it."""
        found = client.get_experiment_by_name(study) or self._create_experiment(client, study)
        if found.lifecycle_stage == LifecycleStage.DELETED:
            client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _initialise(self) -> None:
        if self.artifacts is None:
            return
        self.artifacts.parent.mkdir(parents=True, exist_ok=True)
        # several processes that open a fresh database at once crash in its migration
        with ExclusiveFileLock(str(self.artifacts.parent / ".mlflow.lock")):
            database = Path(self.uri.removeprefix("sqlite:///"))
            if not database.exists():
                _make(database, self.artifacts)
            SqlAlchemyStore(self.uri, self.artifacts.as_uri())  # type: ignore[no-untyped-call]

    def _create_experiment(self, client: MlflowClient, study: str) -> Experiment:
        location = self.artifacts.as_uri() if self.artifacts else None
        try:
            return client.get_experiment(client.create_experiment(study, location))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
                raise
        found = client.get_experiment_by_name(study)
        assert found is not None
        return found


def find_experiment(client: MlflowClient, study: str) -> Experiment | None:
    """The experiment of ``study``, unless there is none or somebody deleted it."""
    found = client.get_experiment_by_name(study)
    return found if found and found.lifecycle_stage == LifecycleStage.ACTIVE else None


def _make(database: Path, artifacts: Path) -> None:
    """An empty ``database``, whole or not at all: a migration of MLflow's that is killed can never be gone on with."""
    for leftover in database.parent.glob(f".{database.name}.*"):
        leftover.unlink(missing_ok=True)
    # MLflow goes on with the connection to a file of the same name, even if that was removed
    fresh = database.with_name(f".{database.name}.{uuid.uuid4().hex}")
    store = SqlAlchemyStore(f"sqlite:///{fresh}", artifacts.as_uri())  # type: ignore[no-untyped-call]
    store.engine.dispose()
    fresh.replace(database)


def _be_quiet() -> None:
    for noisy in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(noisy).setLevel(logging.ERROR)  # failures are reported once, in our words
