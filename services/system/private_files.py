"""Files and directories that nobody else on this machine may read: tokens, sessions, the audit log."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from convscout.search_space.errors import ConfigError, Problem, UserError
from convscout.trials.checkpoints.durable_files import Durability, placing

TOKEN_VARIABLE = "CONVSCOUT_TOKEN"
SHORTEST_TOKEN = 16  # characters
OTHERS = 0o077  # what the group and all others may do


def private_directory(path: Path) -> Path:
    """``path``, made if need be, closed to everybody else. Raises ``UserError`` where it belongs to another user."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.stat()
    if status.st_uid != os.geteuid():
        raise UserError(f"{path} belongs to another user of this machine; choose another --home")
    if stat.S_IMODE(status.st_mode) & OTHERS:
        path.chmod(0o700)
    return path


def private_file(path: Path) -> Path:
    """``path``, made empty if need be, closed to everybody else."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
    return path


def write_private(path: Path, text: str) -> None:
    """Put ``text`` in place whole, in a file of its own from the first byte on."""
    with placing(path, Durability.FLUSHED) as fresh:
        fresh.unlink(missing_ok=True)  # of a process that died, had our number and left it
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)


def read_token(file: Path | None) -> str:
    """The token in ``file``, or in the environment, or none.

    Raises ``ConfigError`` for a token that is short or cannot be read, and for a file that others may read.
    """
    name = "token-file" if file else TOKEN_VARIABLE
    token = _read_private(file) if file else os.environ.get(TOKEN_VARIABLE, "")
    if (file or token) and not (token.isascii() and token.isprintable() and len(token) >= SHORTEST_TOKEN):
        rule = f"must hold at least {SHORTEST_TOKEN} ASCII characters on one line, such as openssl rand -hex 32 makes"
        raise ConfigError([Problem(field=name, value=f"{len(token)} characters", rule=rule)])
    return token


def _read_private(path: Path) -> str:
    """What stands in the token's file, if nobody else on this machine can read it."""
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        rule = f"cannot be read: {reason}"
        raise ConfigError([Problem(field="token-file", value=str(path), rule=rule)]) from None
    if mode & OTHERS:
        rule = f"others on this machine can read it (mode {mode:04o}): run chmod 600 {shlex.quote(str(path))}"
        raise ConfigError([Problem(field="token-file", value=str(path), rule=rule)])
    return text
