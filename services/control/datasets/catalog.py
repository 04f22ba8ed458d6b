"""Datasets: what a study may be started on that is started through the service, and what can be done with it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from convscout.search_space.errors import (
    ConfigError,
    DatasetConflictError,
    DatasetNotFoundError,
    Problem,
    UnknownNameError,
    list_names,
)
from convscout.services.config.home import Home
from convscout.services.config.study_config import StudyConfig, merge
from convscout.services.control.datasets.allowed_paths import DATA, DataPaths
from convscout.services.control.datasets.intake import accept
from convscout.services.control.datasets.local import local_datasets
from convscout.services.control.datasets.previews import DataLooks
from convscout.services.control.datasets.uploads import NPZ_FILE, Incoming, Uploads, is_name
from convscout.services.control.settings import ServiceSettings
from convscout.services.ledger.database import open_storage
from convscout.services.ledger.optuna_schema import notes
from convscout.services.schemas.datasets import DatasetView
from convscout.trials.data.data_check import DataReport
from convscout.trials.data.image_cache import forget
from convscout.trials.data.sources import sources

UPLOADED = "uploaded"
Problems: TypeAlias = list[Problem]  # the class below has a method of the name list
_ON_DISK = ("PATH", "FILE")


class Datasets:
    """The datasets of ``home``'s service: built-in ones, uploaded ones, and those under the roots in ``settings``.

    ``waiting`` tells of studies that have no ledger yet what their images will be.
    """

    def __init__(
        self,
        home: Home,
        settings: ServiceSettings,
        waiting: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._home = home
        self._waiting = waiting
        self._uploads = Uploads(
            home.root / "datasets",
            upload_bytes=settings.upload_bytes,
            total_bytes=settings.uploads_bytes,
        )
        self._paths = DataPaths(settings.data_roots, self._uploads.directory)
        self._looks = DataLooks(home.cache)

    def sweep(self) -> None:
        """Remove what a service that was killed left of uploads; to be called when the service starts."""
        self._uploads.sweep()

    def list(self) -> tuple[DatasetView, ...]:
        """Every dataset there is; of several that have one name the first is meant by it."""
        found: dict[str, DatasetView] = {}
        for view in self._all():
            found.setdefault(view.name, view)
        return tuple(found.values())

    def get(self, name: str) -> DatasetView:
        """The dataset called ``name``. Raises ``DatasetNotFoundError``."""
        known = {view.name: view for view in self.list()}
        if name not in known:
            rule = f"must be one of {', '.join(known)}"
            raise DatasetNotFoundError.of("name", name[:200], rule)
        return known[name]

    def allowed(self, data: str) -> str:
        """``data`` as the setting of a study: a dataset's name becomes what it stands for.

        Raises ``ConfigError`` for files outside of the data roots and the uploads, and for what is no dataset.
        """
        name, _, location = data.partition(":")
        if name == UPLOADED or not location:
            return self._name(location if name == UPLOADED else data, data, uploaded=name == UPLOADED)
        return f"{name}:{self._paths.readable(self._location(name, location, data), data)}"

    def config_of(self, settings: Mapping[str, Any]) -> StudyConfig:
        """A study of ``settings``, spelled as a person would. Raises ``ConfigError`` with all that is wrong."""
        named, problems = self._resolve(settings)
        fields = {problem.field for problem in problems}
        try:
            config = StudyConfig.from_options(named)
        except ConfigError as error:
            problems += [problem for problem in error.problems if problem.field not in fields]
        if problems:
            raise ConfigError(problems)
        return config

    def resolve(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """``settings`` by field name, in which ``data`` says where its images are. Raises ``ConfigError``."""
        named, problems = self._resolve(settings)
        if problems:
            raise ConfigError(problems)
        return named

    def check_data_dir(self, data_dir: str | Path | None) -> None:
        """Raise ``ConfigError`` unless a study may look for downloads, and put them, in ``data_dir``."""
        self._paths.check_data_dir(data_dir)

    def incoming(self) -> AbstractContextManager[Incoming]:
        """An upload that is not a dataset yet; what ``add`` does not take of it is gone after the block."""
        return self._uploads.incoming()

    def refuse_name(self, name: str) -> None:
        """Raise ``DatasetError`` unless a new dataset can be called ``name``."""
        self._uploads.refuse_name(name)
        if name in _builtin_names() or name == UPLOADED:
            rule = "is the name of a built-in dataset; choose another"
            raise DatasetConflictError.of("name", name, rule)

    def add(self, incoming: Incoming, name: str) -> DatasetView:
        """Make what was received a dataset called ``name``: a zip of image folders, or an npz file.

        Raises ``DatasetError``, and keeps nothing, where it is neither or cannot be trained on.
        """
        self.refuse_name(name)
        accepted = accept(incoming, self._looks, self._home.cache)
        facts = accepted.model_copy(update={"created_at": datetime.now(UTC)})
        self._uploads.keep(incoming, name, facts)
        return self.get(name)

    def check(self, name: str) -> DataReport:
        """What a person should know of the dataset before a search. Takes a while the first time."""
        return self._looks.look(self.get(name)).report

    def preview(self, name: str) -> Path:
        """A PNG with a few images of every class. Takes a while the first time."""
        return self._looks.look(self.get(name)).sheet

    def delete(self, name: str) -> None:
        """Remove an uploaded dataset. Raises ``DatasetConflictError`` for another, and while a study is about it."""
        view = self.get(name)
        path = self._uploads.path(name)
        if view.kind != UPLOADED or path is None:
            rule = "must be an uploaded dataset; this one is not the service's to delete"
            raise DatasetConflictError.of("name", name, rule)
        if studies := self.studies_on(path):
            begun = list_names([*map(repr, studies)], 3)
            rule = f"is what {begun} was started on; delete that, and wait until it can no longer be restored"
            raise DatasetConflictError.of("name", name, rule)
        self._uploads.remove(name)
        self._looks.forget(view)
        forget(path, self._home.cache / "images")

    def studies_on(self, path: Path) -> tuple[str, ...]:
        """The studies whose images lie in ``path``."""
        known = {**self._waiting(), **self._data_of_begun()}
        return tuple(name for name, data in known.items() if self._lies_in(path, data))

    def _data_of_begun(self) -> dict[str, str]:
        if not self._home.has_ledger:
            return {}
        configs = notes(open_storage(self._home), "config")
        return {name: str(config.get("data", "")) for name, config in configs.items()}

    def _resolve(self, settings: Mapping[str, Any]) -> tuple[dict[str, Any], Problems]:
        named, problems = merge(settings), Problems()
        try:
            if isinstance(data := named.get("data"), str):
                named["data"] = self.allowed(data)
        except ConfigError as error:
            problems += error.problems
            del named["data"]
        try:
            if isinstance(data_dir := named.get("data_dir"), str):
                self.check_data_dir(data_dir)
        except ConfigError as error:
            problems += error.problems
        return named, problems

    def _lies_in(self, path: Path, data: str) -> bool:
        location = data.partition(":")[2]
        return bool(location) and self._paths.holds(path, Path(location))

    def _all(self) -> Iterator[DatasetView]:
        yield from _builtins()
        for name in self._uploads.names():
            yield self._view_upload(name)
        for root in self._paths.roots:
            yield from (view for view in local_datasets(root) if is_name(view.name))

    def _view_upload(self, name: str) -> DatasetView:
        path, facts = self._uploads.directory / name, self._uploads.facts(name)
        npz = path / NPZ_FILE
        data = f"npz:{npz}" if npz.is_file() else f"folder:{path}"
        known = facts.num_images is not None and facts.classes is not None
        about = f"{facts.num_images:,} images of {len(facts.classes or ())} classes" if known else "images"
        return DatasetView(
            **facts.model_dump(),
            name=name,
            kind="uploaded",
            data=data,
            about=f"{about}, uploaded to the service",
        )

    def _name(self, name: str, data: str, *, uploaded: bool) -> str:
        for view in self._all():
            if view.name == name and (not uploaded or view.kind == UPLOADED):
                return view.data
        known = ", ".join(view.name for view in self.list())
        rule = f"must be one of {known}, or folder:PATH or npz:FILE under a data root"
        raise ConfigError([Problem(field=DATA, value=data, rule=rule)])

    def _location(self, name: str, location: str, data: str) -> str:
        """``location`` if the source called ``name`` reads files there. Raises ``ConfigError``."""
        try:
            source = sources.get(name)
        except UnknownNameError as error:
            raise ConfigError([Problem(field=DATA, value=data, rule=error.message)]) from None
        if source.location not in _ON_DISK:
            rule = "must name no location, as only files and directories may be named through the service"
            raise ConfigError([Problem(field=DATA, value=data, rule=rule)])
        return location


def _builtins() -> Iterator[DatasetView]:
    for name, source in sources.items():
        if not source.location:
            about = (inspect.getdoc(source) or "").partition("\n")[0]
            yield DatasetView(name=name, kind="builtin", data=name, about=about)


def _builtin_names() -> tuple[str, ...]:
    return sources.names()
