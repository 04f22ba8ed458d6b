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

import time as clock
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.config import StudyConfig, merge
from services.home import Home

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from services.client import Client
    from services.distilling import Distilled
    from services.events import Listener
    from services.explaining.explain import Written
    from services.finish import Outcome
    from services.predict import Prediction
    from trials.metrics import Probabilities

__all__ = ["Study", "connect", "explain", "load_study", "predict", "resume", "search"]


class Study:
    """A study on disk: its trials, and its ensemble once there is one."""

    def __init__(self, home: Home, name: str) -> None:
        from services.study import Ledger

        self.name = name
        self._home = home
        self._ledger = Ledger.open(home, name)

    @property
    def config(self) -> StudyConfig:
        """What was asked of the study."""
        return self._ledger.config

    @property
    def outcome(self) -> Outcome | None:
        """Best single and ensemble, on validation and test; None before the search has ended."""
        from services.finish import stored_outcome

        return stored_outcome(self._ledger)

    @property
    def trials(self) -> pd.DataFrame:
        """A row a trial, the best by the study's objective first: state, family, scores, cost and every setting."""
        import pandas as pd

        rows = []
        for record in sorted(self._ledger.trials(), key=lambda each: -each.goodness):
            row = record.to_dict()
            del row["measurements"]
            row |= {f"complexity.{key}": value for key, value in (row.pop("complexity") or {}).items()}
            rows.append(row | row.pop("settings"))
        return pd.DataFrame(rows)

    @property
    def curves(self) -> pd.DataFrame:
        """A row an epoch of every trial: number, epoch, losses, accuracy, rate."""
        import pandas as pd

        return pd.DataFrame(
            {"number": record.number, **measurement.to_dict()}
            for record in self._ledger.trials()
            for measurement in record.measurements
        )

    @property
    def directory(self) -> Path:
        """Where the exported ensemble lies."""
        return self._home.study(self.name) / "export"

    def predict(self, images: np.ndarray[Any, np.dtype[np.uint8]]) -> Probabilities:
        """Class probabilities (N, K) of the exported ensemble for uint8 ``images`` (N, H, W, C)."""
        from services.exported_model import MODEL_FILE, ExportedModel

        return ExportedModel(self.directory / MODEL_FILE).probabilities(images)

    def export(self, directory: str | PathLike[str] | None = None) -> Path:
        """Write the ensemble once more, verified; returns where."""
        from services import runner

        return runner.export(self._home, self.name, Path(directory) if directory else None)

    def distil(
        self,
        directory: str | PathLike[str] | None = None,
        *,
        formats: Sequence[str] = (),
        listener: Listener | None = None,
        **wanted: Any,
    ) -> Distilled:
        """Train a small network to answer as the ensemble does, and export it to ``directory`` or into the study.

        ``wanted`` are the fields of ``services.distilling.Wanted``: ``params=50_000``, ``family="resnet"``, ….
        """
        from services.distilling import Wanted, distil

        to = Path(directory) if directory else None
        with _listening(listener) as told:
            return distil(self._home, self.name, Wanted(**wanted), told, to, formats)


def search(
    data: str,
    study: str = "study",
    *,
    time: str | float | None = None,
    home: str | PathLike[str] | None = None,
    storage: str | None = None,
    listener: Listener | None = None,
    **options: Any,
) -> Study:
    """Run a new study to its end and return it.

    ``data`` and ``options`` are those of ``convscout search`` with underscores (``max_params="1.5M"``),
    ``time`` bounds the whole call ("10m", or seconds). ``storage`` is the URL of a PostgreSQL database for the
    ledger, which ``home`` remembers. Progress goes to ``listener``, by default to the
    terminal. Raises ``search_space.errors.ConvscoutError`` and its kinds.
    """
    from services import runner

    began = clock.time()
    config = StudyConfig.from_options({"name": study, "data": data, "time": time, **options})
    with _listening(listener) as told:
        runner.search(config, Home.at(home, storage), told, began)
    return Study(Home.at(home, storage), study)


def resume(
    study: str,
    *,
    accept_changes: bool = False,
    take_over: bool = False,
    home: str | PathLike[str] | None = None,
    storage: str | None = None,
    listener: Listener | None = None,
    **changes: Any,
) -> Study:
    """Go on with a study where it was, perhaps under other settings: ``trials="+50"``, ``time="10m"`` (for this call).

    ``changes`` are those of ``convscout resume`` with underscores. ``accept_changes`` goes on although the images or
    the code changed, ``take_over`` takes the study from a controller that shows no sign of life.
    """
    from services import runner

    began = clock.time()
    with _listening(listener) as told:
        runner.resume(
            study,
            Home.at(home, storage),
            told,
            began,
            changes=merge(changes),
            accept_changes=accept_changes,
            take_over=take_over,
        )
    return Study(Home.at(home, storage), study)


def load_study(study: str, *, home: str | PathLike[str] | None = None, storage: str | None = None) -> Study:
    """A study on disk, running or not. Raises ``StudyNotFoundError`` listing those there are."""
    return Study(Home.at(home, storage), study)


def predict(
    directory: str | PathLike[str], paths: Sequence[str | PathLike[str]], *, top: int = 1
) -> list[Prediction]:
    """What the exported ensemble in ``directory`` says of image files, directories or globs."""
    from services.predict import predict as predict_files

    return predict_files(Path(directory), [str(path) for path in paths], top=top)


def explain(
    directory: str | PathLike[str],
    paths: Sequence[str | PathLike[str]],
    output: str | PathLike[str] = "explanations",
    *,
    listener: Listener | None = None,
    **wanted: Any,
) -> Written:
    """Draw what the exported ensemble in ``directory`` looks at in image files, directories or globs, into ``output``.

    ``wanted`` are the fields of ``services.explaining.explain.Wanted``: ``methods=["grad-cam"]``, ``members=0``, ….
    """
    from services.explaining.explain import Wanted
    from services.explaining.explain import explain as draw
    from services.exporters.bundle import load_bundle
    from services.predict import files_of

    files = files_of([str(path) for path in paths])
    with _listening(listener) as told:
        return draw(load_bundle(Path(directory)), files, Wanted(**wanted), Path(output), told)


def connect(
    url: str = "http://127.0.0.1:8765",
    token: str | None = None,
    *,
    token_file: str | PathLike[str] | None = None,
    home: str | PathLike[str] | None = None,
    insecure: bool = False,
) -> Client:
    """The service at ``url``, which ``convscout serve`` has started: its studies, trials, results and datasets.

    Unless it is given, the token is that of ``token_file``, of the variable ``CONVSCOUT_TOKEN``, or of the service of
    ``home`` where that is the one at ``url``. Over plain http it is sent to this machine alone, unless ``insecure``.
    """
    from services.client import Client

    return Client(url, token, token_file=token_file, home=home, insecure=insecure)


def _listening(listener: Listener | None) -> AbstractContextManager[Listener]:
    """``listener``, or the terminal's display while the context lasts."""
    from services.display import display

    return nullcontext(listener) if listener else display()
