"""MLflow's own server over one home, as a child process that never outlives us."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from convscout.search_space.errors import ConvscoutError
from convscout.services.config.home import Home
from convscout.services.system.private_files import TOKEN_VARIABLE
from convscout.services.system.process_group import Leashed
from convscout.services.tracking.environment import SERVER
from convscout.services.tracking.relocation import settle

_READY_S = 60.0
_log = logging.getLogger(__name__)


class MlflowServer:
    """The server over ``home``, once started. ``options`` say where it listens, ``answers`` whether it answers there.

    ``environment`` is what it gets beside ``SERVER``; what it says is in ``log``. ``directory``, where its socket may
    lie, is removed with it.
    """

    def __init__(
        self,
        home: Home,
        options: Mapping[str, str],
        *,
        answers: Callable[[], bool],
        environment: Mapping[str, str],
        log: Path,
        directory: Path | None = None,
    ) -> None:
        self._home = home
        self._options = options
        self._answers = answers
        # the token opens the service; MLflow and what it loads have no use for it
        inherited = {name: value for name, value in environment.items() if name != TOKEN_VARIABLE}
        self._environment = inherited | SERVER
        self._log = log
        self._directory = directory
        self._process: Leashed | None = None

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.alive

    def start(self, abandoned: Callable[[], bool] = lambda: False) -> None:
        """Start it, and wait until it answers. Raises ``ConvscoutError`` when it does not, or is ``abandoned``."""
        try:
            # before the server, which would race us for the database
            from convscout.services.tracking.store import TrackingStore  # MLflow takes seconds to import

            settle(self._home, _log.warning)
            TrackingStore(uri=self._home.tracking_uri, artifacts=self._home.artifacts).client()
            self._log.parent.mkdir(parents=True, exist_ok=True)
            self._process = Leashed(self._command(), self._environment, self._log, self._directory)
            self._wait_until_ready(abandoned)
        except BaseException:
            self.stop()
            raise

    def wait(self) -> None:
        """Until it ends by itself, which it should not. Raises ``ConvscoutError`` then."""
        assert self._process is not None
        self._process.wait()
        raise ConvscoutError(f"the MLflow server ended by itself; see {self._log}")

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is not None:
            self._process.end()
            self._process = None
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _command(self) -> list[str]:
        options = {
            **self._options,
            "--workers": "1",
            "--backend-store-uri": self._home.tracking_uri,
            "--default-artifact-root": self._home.artifacts.as_uri(),
        }
        flat = [word for pair in options.items() for word in pair]
        return [sys.executable, "-m", "mlflow", "server", "--no-serve-artifacts", *flat]

    def _wait_until_ready(self, abandoned: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _READY_S
        while self.alive and time.monotonic() < deadline and not abandoned():
            if self._answers():
                return
            time.sleep(0.1)
        raise ConvscoutError(f"the MLflow server did not start; see {self._log}")
