"""The command line: a thin layer on the same functions that ``import convscout`` calls.

One file a group of commands. Nothing heavy is imported before a command needs it, so that ``--help``
and ``--version`` answer at once.
"""

from services.cli.entry import main, run

__all__ = ["main", "run"]
