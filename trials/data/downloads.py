"""Downloads: find a published dataset on disk, else have torchvision fetch it, else say how to do it."""

from __future__ import annotations

import socket
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar

from convscout.search_space.errors import DataError
from convscout.trials.data.sources import DataRequest

D = TypeVar("D")
_SILENCE_S = 30.0  # of a server that has stopped answering; torchvision itself would wait for ever


def torchvision_dataset(name: str) -> Any:
    """The class of ``torchvision.datasets`` that is called ``name``."""
    from torchvision import datasets  # its import brings torch's compiler, which takes seconds

    return getattr(datasets, name)


def find_or_fetch(request: DataRequest, make: Callable[[Path, bool], D], urls: tuple[str, ...]) -> D:
    """The dataset that ``make(directory, download)`` opens, from ``data_dir`` or the cache.

    ``make`` raises ``RuntimeError`` where the directory lacks the dataset, as torchvision's datasets
    do. ``urls`` are what a person would fetch by hand. Raises ``DataError`` saying so.
    """
    places = places_of(request)
    for place in places:
        try:
            return make(place, False)
        except RuntimeError:
            continue
    return fetch(request, make, urls)


def fetch(request: DataRequest, make: Callable[[Path, bool], D], urls: tuple[str, ...]) -> D:
    """The dataset that ``make`` downloads into ``data_dir``, or else into the cache."""
    places = places_of(request)
    try:
        with _impatient():
            return make(places[0], True)
    except (OSError, RuntimeError, HTTPException, tarfile.TarError) as error:
        raise DataError(
            f"{request.data}: not found (whole) in {' or '.join(map(str, places))}, "
            f"and the download failed ({_one_line(error)}). Fetch {' and '.join(urls)} "
            "where there is a network, put that into a directory, and name the directory with --data-dir"
        ) from error


def places_of(request: DataRequest) -> list[Path]:
    """The directories that may hold downloads; a new one goes into the first."""
    given = [request.data_dir.expanduser()] if request.data_dir else []
    return [*given, request.cache / "downloads"]


@contextmanager
def _impatient() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SILENCE_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
