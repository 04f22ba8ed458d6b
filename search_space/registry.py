"""Registry: how a family, optimizer, dataset, sampler … is found by its name.

A built-in lives in one file of the registry's package and registers itself with one decorator; a
foreign one is an entry point of the registry's group in any installed package. A foreign one that
fails to load is kept in ``broken`` and skipped, so that a bad plug-in never stops a search.
"""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar, cast

from convscout.search_space.errors import UnknownNameError

T = TypeVar("T")
E = TypeVar("E")  # the decorated object keeps its own, narrower type


class Registry(Generic[T]):
    """Names of one kind, e.g. architecture families.

    ``kind`` is what an error calls an entry ("family"); ``package`` is the package whose modules
    hold the built-ins; ``group`` is the entry-point group that other packages add to.
    """

    def __init__(self, kind: str, *, package: str, group: str) -> None:
        self.kind = kind
        self.package = package
        self.group = group
        self.broken: dict[str, str] = {}
        self._entries: dict[str, T] = {}
        self._begun = self._loaded = False
        self._loading = threading.RLock()

    def register(self, name: str) -> Callable[[E], E]:
        """Decorator: make the decorated object known as ``name``; a class also gets it as ``.name``."""

        def add(entry: E) -> E:
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            if isinstance(entry, type):
                entry.name = name  # type: ignore[attr-defined]
            self._entries[name] = cast(T, entry)
            return entry

        return add

    def get(self, name: str) -> T:
        """The entry called ``name``; raises ``UnknownNameError`` listing the valid names."""
        self._load()
        if name not in self._entries:
            broken = f" ({name} failed to load: {self.broken[name]})" if name in self.broken else ""
            raise UnknownNameError.among(self.kind, name, self.names(), note=broken)
        return self._entries[name]

    def names(self) -> tuple[str, ...]:
        """All valid names, sorted."""
        self._load()
        return tuple(sorted(self._entries))

    def items(self) -> Iterator[tuple[str, T]]:
        """All ``(name, entry)`` pairs, sorted by name."""
        for name in self.names():
            yield name, self._entries[name]

    def _load(self) -> None:
        if self._loaded:
            return
        with self._loading:
            if not self._begun:
                self._begun = True  # first, because loading a module may ask for a name
                self._load_all()
                self._loaded = True  # last, because other threads must not see half of them

    def _load_all(self) -> None:
        for module in pkgutil.iter_modules(importlib.import_module(self.package).__path__):
            importlib.import_module(f"{self.package}.{module.name}")
        for point in entry_points(group=self.group):
            try:
                self.register(point.name)(point.load())
            except Exception as error:  # foreign code may raise anything; it is reported, not fatal
                self.broken[point.name] = f"{type(error).__name__}: {error}"
