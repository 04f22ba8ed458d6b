"""TrackingStore: which MLflow a study is projected into, and how to open it safely."""

from __future__ import annotations

import logging
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking.client import MlflowClient
from mlflow.utils.file_utils import ExclusiveFileLock
from mlflow.utils.mlflow_tags import (
    MLFLOW_EXPERIMENT_PRIMARY_METRIC_GREATER_IS_BETTER,
    MLFLOW_EXPERIMENT_PRIMARY_METRIC_NAME,
)
from sqlalchemy.exc import SQLAlchemyError

from services.home import Home

EXPERIMENT = "convscout"
_EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",  # else the user interface opens for language models
    MLFLOW_EXPERIMENT_PRIMARY_METRIC_NAME: "val_accuracy_best",
    MLFLOW_EXPERIMENT_PRIMARY_METRIC_GREATER_IS_BETTER: "True",
}


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
        uri = os.environ.get("MLFLOW_TRACKING_URI", "")
        if uri.startswith(("http://", "https://")):
            return cls(uri=uri, artifacts=None)
        return cls(uri=home.tracking_uri, artifacts=home.artifacts)

    def client(self) -> MlflowClient:
        """A client of this store, whose schema and experiment exist. Raises ``MlflowException`` when it is away."""
        _be_quiet()
        self._initialise()
        client = MlflowClient(self.uri, registry_uri=self.uri)
        if client.get_experiment_by_name(EXPERIMENT) is None:
            self._create_experiment(client)
        return client

    def reader(self) -> MlflowClient | None:
        """A client of this store as it is, to read from; None where there is none."""
        _be_quiet()
        if self.uri.startswith("sqlite:///") and not Path(self.uri.removeprefix("sqlite:///")).exists():
            return None
        return MlflowClient(self.uri, registry_uri=self.uri)

    def experiment_id(self, client: MlflowClient) -> str:
        """The id of convscout's experiment, which ``client`` has made sure of."""
        experiment = client.get_experiment_by_name(EXPERIMENT)
        assert experiment is not None
        return str(experiment.experiment_id)

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

    def _create_experiment(self, client: MlflowClient) -> None:
        location = self.artifacts.as_uri() if self.artifacts else None
        try:
            client.create_experiment(EXPERIMENT, location, _EXPERIMENT_TAGS)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
                raise


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
