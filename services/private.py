"""Files and directories that nobody else on this machine may read: tokens, sessions, the audit log."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from search_space.errors import UserError

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
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)  # of a process that died, had our number and left it
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
