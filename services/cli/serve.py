"""The service of all studies: serve."""

from __future__ import annotations

import json as json_module
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Annotated
from urllib.parse import quote

import typer

from search_space.errors import ConfigError, Problem, UserError
from services.cli.options import HomeOption, JsonOption, StorageOption
from services.cli.output import print_line
from services.home import Home

PANEL = "Around it"
_NICE = 10  # answers may wait for training, and training must not wait for answers


def add_to(app: typer.Typer) -> None:
    """Make the command of this file known."""
    app.command("serve", rich_help_panel=PANEL)(serve)


def serve(
    home: HomeOption = None,
    storage: StorageOption = None,
    host: Annotated[
        str,
        typer.Option(metavar="HOST", help="Address to listen at; any but this machine's own needs a token."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="0 takes a free one.")] = 8765,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File of the token, which only you can read; CONVSCOUT_TOKEN holds one too. Else one is made.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Another name by which browsers know this service; may be repeated."
        ),
    ] = None,
    data_root: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR", help="Directory whose images studies may be given by path; may be repeated."
        ),
    ] = None,
    cores: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Processor cores that studies share; all unless given."),
    ] = None,
    requests_per_minute: Annotated[
        int,
        typer.Option(
            min=60, metavar="N", help="Requests of one client that are answered; more are told to wait."
        ),
    ] = 6000,
    json: JsonOption = False,
) -> None:
    """Start, watch and steer studies in a browser and over REST, until Ctrl-C. Studies go on without the service.

    It prints a link that signs in. Programs send Authorization: Bearer TOKEN to /api/v1.

    Example: convscout serve --data-root ~/pictures
    """
    from services.api.app import make_app
    from services.api.security.token import service_token
    from services.control.plane import ControlPlane
    from services.control.settings import ServiceSettings
    from services.http.server import listening, run

    settings = ServiceSettings(
        data_roots=_existing(data_root or ()), cores=cores, requests_per_minute=requests_per_minute
    )
    # the filter that requests sets for it gets lost where several threads import and warn
    warnings.filterwarnings("ignore", message="SOCKS support in urllib3")
    at = Home.at(home, storage)
    if at.storage:
        # for the processes of studies; the home keeps no password
        os.environ["CONVSCOUT_STORAGE"] = at.storage
    with _alone(at) as lock:
        token = service_token(at.root / "service", token_file)
        with listening(host, port, token.value if token.chosen else "") as (listener, address):
            _note(lock, f"{os.getpid()} {address}")
            app = make_app(ControlPlane(at, settings), token.value, hosts=[host, *(allow_host or ())])
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


def _existing(roots: Sequence[Path]) -> tuple[Path, ...]:
    """``roots``, made absolute. Raises ``ConfigError`` with each that is no directory."""
    absolute = tuple(root.expanduser().resolve() for root in roots)
    wrong = [
        Problem(field="data-root", value=str(root), rule="must be a directory that exists")
        for root in absolute
        if not root.is_dir()
    ]
    if wrong:
        raise ConfigError(wrong)
    return absolute


@contextmanager
def _alone(home: Home) -> Iterator[IO[str]]:
    """Hold the lock of the service of ``home``. Raises ``UserError``, which says where the other service is."""
    from services.locked_file import locked_file
    from services.private import private_directory

    path = private_directory(home.root / "service") / "service.lock"
    with locked_file(path) as held:
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
