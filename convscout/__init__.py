"""convscout from Python: search the design space of convolutional image classifiers.

    import convscout

    study = convscout.search(data="digits", time="2m")
    study.trials            # a pandas DataFrame, a row a trial
    study.predict(images)   # class probabilities of the ensemble, from uint8 images (N, H, W, C)

    service = convscout.connect()   # a running ``convscout serve``, on this machine or another
    service.create({"name": "first", "data": "digits", "time": "2m"})

The command line does the same; see ``convscout --help``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convscout.connection import connect
    from convscout.exports import explain, predict
    from convscout.studies import Study, load_study, resume, search

__all__ = ["Study", "connect", "explain", "load_study", "predict", "resume", "search"]

_MODULES = {
    "Study": "studies",
    "search": "studies",
    "resume": "studies",
    "load_study": "studies",
    "predict": "exports",
    "explain": "exports",
    "connect": "connection",
}


def __getattr__(name: str) -> object:
    """Import what is asked for, as torch takes seconds and `convscout --help` imports this module too."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
