"""The console script: runs a command and turns every way it can end into an exit code and at most a few lines."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from typer import TyperException

from convscout.search_space.errors import ConvscoutError
from convscout.services.cli.app import app
from convscout.services.cli.swift_end import run_and_end
from convscout.services.config.home import Home

INTERRUPTED = 130
USAGE = 2


def run() -> None:
    """The console script."""
    run_and_end(main)


@dataclass(frozen=True)
class End:
    """How a command ended: its exit ``code``, and for a person what went wrong and what to type next, if anything."""

    code: int
    cause: str = ""
    next_command: str = ""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0, 2 for what the person can mend, 130 on Ctrl-C, 1 for the rest."""
    end = perform(list(sys.argv[1:] if arguments is None else arguments))
    tell(end)
    sys.exit(end.code)


def perform(given: Sequence[str]) -> End:
    """Run a command, whichever way it ends."""
    try:
        code = app(list(given) or ["--help"], prog_name="convscout", standalone_mode=False)
        sys.stdout.flush()  # so that a closed pipe is met here and not at exit
    except TyperException as error:
        return End(USAGE, error.format_message(), f"convscout {_command(given)}--help")
    except ConvscoutError as error:
        return End(error.exit_code, str(error), _with_place(error.next_command, given))
    except KeyboardInterrupt:
        return End(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return End(1)
    except Exception as error:
        return End(1, *_describe_unexpected(error, given))
    return End(code if isinstance(code, int) else 0)


def tell(end: End) -> None:
    """Say what went wrong, a line each, and what to type next."""
    for line in end.cause.splitlines():
        print(f"error: {line}", file=sys.stderr)
    if end.next_command:
        print(f"next: {end.next_command}", file=sys.stderr)


def _command(given: Sequence[str]) -> str:
    """The command that was meant, with a space behind, or nothing."""
    first = given[0] if given else ""
    known = {command.name for command in app.registered_commands}
    known |= {group.name for group in app.registered_groups}
    return f"{first} " if first in known else ""


def _describe_unexpected(error: Exception, given: Sequence[str]) -> tuple[str, str]:
    """One line of cause and where the whole story is; the person gets no traceback."""
    cause = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}".rstrip(": ")
    try:
        path = _write_log(Home.at(_option("--home", given)), given)
    except OSError as refused:
        logging.getLogger(__name__).debug("no log of the traceback: %s", refused)
        return f"{cause} (no log could be written: {refused.strerror})", "convscout doctor"
    return f"{cause} (traceback in {path})", "convscout doctor"


def _write_log(home: Home, given: Sequence[str]) -> Path:
    from convscout.services.config.storage_url import hide_passwords  # SQLAlchemy takes a while to import

    folder = home.root / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"error-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    path.write_text(
        hide_passwords(f"convscout {' '.join(given)}\n\n{traceback.format_exc()}"), encoding="utf-8"
    )
    return path


def _with_place(next_command: str, given: Sequence[str]) -> str:
    """``next_command`` at the home or the service that this command was given, if any."""
    if not next_command.startswith("convscout ") or next_command.startswith("convscout serve"):
        return next_command
    options = {name: _option(name, given) for name in ("--home", "--server", "--token-file")}
    said = [f" {name} {shlex.quote(value)}" for name, value in options.items() if value]
    return next_command + "".join(said)


def _option(option: str, given: Sequence[str]) -> str:
    """What ``option`` said; read by hand, because the options may be what failed."""
    for word, following in zip(given, [*given[1:], ""], strict=True):
        if word == option:
            return following
        if word.startswith(f"{option}="):
            return word.removeprefix(f"{option}=")
    return ""
