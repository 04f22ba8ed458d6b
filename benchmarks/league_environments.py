"""Environments of contestants whose packages must not mix with ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

INSTALL_S = 1800.0  # at most
ALWAYS = ("numpy", "psutil")  # of which every contestant's side is made


class NotInstalled(Exception):
    """A contestant's packages cannot be installed here."""


def interpreter(name: str, packages: Sequence[str], root: Path, *, timeout_s: float = INSTALL_S) -> Path:
    """The interpreter of the environment ``root/name``, which is made on first use. Raises ``NotInstalled``.

    pip is as it is configured: ``PIP_CONSTRAINT`` may name CPU builds of torch and torchvision, always of both.
    """
    directory = root.absolute() / name
    python, whole = directory / "bin" / "python", directory / "whole"
    if whole.exists():
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", directory], check=True)
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *ALWAYS, *packages]
    try:
        installed = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"pip took more than {timeout_s:.0f} s") from None
    if installed.returncode:
        lines = installed.stderr.strip().splitlines() or ["it failed"]
        raise NotInstalled(f"pip: {next((line for line in lines if line.startswith('ERROR')), lines[-1])}")
    whole.touch()
    return python
