"""The service of all studies, run on this machine: serve."""

from __future__ import annotations

import json as json_module
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

from convscout.search_space.errors import UserError
from convscout.services.cli.output import print_line
from convscout.services.config.home import Home
from convscout.services.control.plane import ControlPlane
from convscout.services.control.settings import ServiceSettings
from convscout.services.http.server import listening, run
from convscout.services.server.app import make_app
from convscout.services.server.auth.token import service_token
from convscout.services.system.locks import lock_file
from convscout.services.system.private_files import private_directory

_NICE = 10  # answers may wait for training, and training must not wait for answers


def serve(
    home: Home,
    *,
    host: str,
    port: int,
    token_file: Path | None,
    allow_hosts: Sequence[str],
    data_roots: tuple[Path, ...],
    cores: int | None,
    requests_per_minute: int,
    json: bool,
) -> None:
    """Serve the studies of ``home`` until Ctrl-C, and print a link that signs in."""
    settings = ServiceSettings(data_roots=data_roots, cores=cores, requests_per_minute=requests_per_minute)
    # the filter that requests sets for it gets lost where several threads import and warn
    warnings.filterwarnings("ignore", message="SOCKS support in urllib3")
    if home.storage:
        # for the processes of studies; the home keeps no password
        os.environ["CONVSCOUT_STORAGE"] = home.storage
    with _alone(home) as lock:
        token = service_token(home.root / "service", token_file)
        with listening(host, port, token.value if token.chosen else "") as (listener, address):
            _note(lock, f"{os.getpid()} {address}")
            app = make_app(ControlPlane(home, settings), token.value, hosts=[host, *allow_hosts])
            link = f"{address}/sign-in#token={quote(token.value, safe='')}"

            def ready() -> None:
                _let_trials_go_first()
                _say(address, link, token.source, json=json)

            run(app, listener, ready)


def _let_trials_go_first() -> None:
    """Answers wait for trials: this thread and those that it makes, but not the supervisor's, which begins studies."""
    os.nice(_NICE)
    # only Linux has it: who is woken does not push aside who computes
    with suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


@contextmanager
def _alone(home: Home) -> Iterator[IO[str]]:
    """Hold the lock of the service of ``home``. Raises ``UserError``, which says where the other service is."""
    path = private_directory(home.root / "service") / "service.lock"
    with lock_file(path) as held:
        if held is None:
            pid, _, address = path.read_text(encoding="utf-8").strip().partition(" ")
            where = f"process {pid}{f' at {address}' if address else ''}"
            raise UserError(
                f"the home {home.root} has a service already: {where}; use that one, or choose another --home"
            )
        _note(held[1], str(os.getpid()))
        yield held[1]


def _note(lock: IO[str], text: str) -> None:
    """Write into ``lock`` who holds it."""
    lock.truncate(0)
    lock.write(text)
    lock.flush()


def _say(address: str, link: str, source: str, *, json: bool) -> None:
    """Where the service is. The token is shown to a terminal and to a program that asks, and written into no log."""
    if json:
        print_line(json_module.dumps({"url": address, "sign_in": link}))
        return
    print_line(f"listening at {address}  (Ctrl-C ends it)")
    print_line(f"sign in: {link}" if sys.stdout.isatty() else f"sign in with the token of {source}")
