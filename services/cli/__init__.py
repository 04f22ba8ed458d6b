"""The command line: a thin layer on the same functions that ``import convscout`` calls.

One file a group of commands: signatures and help are here, what a command does on this machine in ``local/``, what it
does with ``--server`` in ``remote/``. Nothing heavy is imported before a command needs it, so that ``--help`` and
``--version`` answer at once.
"""

from convscout.services.cli.entry import main, run

__all__ = ["main", "run"]
