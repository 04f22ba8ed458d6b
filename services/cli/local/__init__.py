"""What commands do on this machine. Each module is imported when a command calls it: torch and Optuna take seconds."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convscout.services.cli.local import answers as answers
    from convscout.services.cli.local import checking as checking
    from convscout.services.cli.local import data as data
    from convscout.services.cli.local import distil as distil
    from convscout.services.cli.local import ensemble as ensemble
    from convscout.services.cli.local import evaluate as evaluate
    from convscout.services.cli.local import explain as explain
    from convscout.services.cli.local import export as export
    from convscout.services.cli.local import families as families
    from convscout.services.cli.local import plots as plots
    from convscout.services.cli.local import predict as predict
    from convscout.services.cli.local import report as report
    from convscout.services.cli.local import serve as serve
    from convscout.services.cli.local import serve_model as serve_model
    from convscout.services.cli.local import service as service
    from convscout.services.cli.local import space as space
    from convscout.services.cli.local import steering as steering
    from convscout.services.cli.local import studies as studies
    from convscout.services.cli.local import study as study
else:  # so that mypy knows the modules above and no others

    def __getattr__(name: str) -> ModuleType:
        """Import the module of that name when it is first used."""
        module = f"{__name__}.{name}"
        if importlib.util.find_spec(module) is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return importlib.import_module(module)
