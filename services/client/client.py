"""Client: the studies of a service, from Python, over its REST API."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from convscout.search_space.errors import ConvscoutError, UserError
from convscout.services.client.connection import PATIENCE_S, Busy, Connection, Patience
from convscout.services.client.credentials import base_url, find_token, refuse_plain
from convscout.services.client.event_stream import StudyEvent, stream
from convscout.services.config.home import Home
from convscout.services.schemas.datasets import DatasetView
from convscout.services.schemas.jobs import JobState
from convscout.services.schemas.studies import (
    ExportView,
    Importance,
    JobView,
    LearningCurve,
    StudyDetail,
    StudySummary,
    TrialDetail,
    TrialSummary,
)
from convscout.services.system.files import writing_bytes

__all__ = ["Client", "StudyEvent"]

View = TypeVar("View", bound=BaseModel)
Progress = Callable[[int, int | None], None]
"""Hears how many bytes have been passed on, of how many, if that is known."""

_PAGE = 200  # items of a list that are asked for at once
_CHUNK = 2**20
_UPLOAD_S = 3600.0  # large images are unpacked and looked at before the service answers
_LONGEST_LOOK_S = 2.0  # between two looks at a job


class Client:
    """The service at ``url``, for who knows its ``token``. Usable from several threads, and as a context.

    Unless it is given, the token is that of ``token_file``, of the variable ``CONVSCOUT_TOKEN``, or of the service of
    ``home`` (``CONVSCOUT_HOME``, else ``./runs``) where that is the one at ``url``. Over plain http it is sent to this
    machine alone, unless ``insecure`` says otherwise.

    Whatever may be done twice, or is recognised by the service when it is sent again, is tried for ``patience_s``
    seconds when the connection fails or the service is busy. Methods raise
    ``convscout.search_space.errors.ConvscoutError`` and its kinds, with what the service said.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        token_file: str | os.PathLike[str] | None = None,
        home: str | os.PathLike[str] | None = None,
        insecure: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> None:
        address = base_url(url)
        found = find_token(address, token, Path(token_file) if token_file else None, Home.at(home))
        if found:
            refuse_plain(address, insecure=insecure)
        self.url = str(address)
        self._connection = Connection(address, found, patience_s)

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all connections."""
        self._connection.close()

    # the service

    def health(self) -> dict[str, Any]:
        """That the service answers, and its version. Needs no token."""
        return _members(self._get("/health"))

    def metrics(self) -> str:
        """What the service counts, as Prometheus reads it."""
        return self._get("/metrics").text

    def audit(self) -> Iterator[dict[str, Any]]:
        """Who did what, the latest first."""
        return self._items("/audit")

    # studies

    def studies(self, *, status: Sequence[str] = (), deleted: bool = False) -> list[StudySummary]:
        """The studies, the latest first; only those that stand as ``status`` says, or that can be restored."""
        found = self._items("/studies", status=list(status), deleted=deleted)
        return [_view(StudySummary, each) for each in found]

    def study(self, name: str) -> StudyDetail:
        """All of a study but its trials."""
        return _view(StudyDetail, _members(self._get(_study(name))))

    def create(self, settings: Mapping[str, Any], *, priority: int = 0) -> StudySummary:
        """Let a new study of these ``settings`` wait for its turn; spelled as ``convscout search`` has them."""
        made = self._create("/studies", {"settings": dict(settings), "priority": priority})
        return _view(StudySummary, made)

    def change(
        self,
        name: str,
        settings: Mapping[str, Any] | None = None,
        *,
        priority: int | None = None,
        version: str | None = None,
    ) -> StudySummary:
        """Change budget, space or priority without starting the study; only if its ``version`` is still that one."""
        content = {"settings": dict(settings or {}), "priority": priority}
        headers = {"If-Match": f'"{version}"'} if version else {}
        answer = self._ask("PATCH", _study(name), repeat=False, json=content, headers=headers)
        return _view(StudySummary, _members(answer))

    def pause(self, name: str) -> StudySummary:
        """Let each running trial end its epoch, then rest."""
        return self._steer(name, "pause")

    def resume(self, name: str) -> StudySummary:
        """Let a study that does not run wait for its turn, to go on where it was."""
        return self._steer(name, "resume")

    def stop(self, name: str) -> StudySummary:
        """End the run of a study now; every finished epoch is kept."""
        return self._steer(name, "stop")

    def extend(self, name: str, settings: Mapping[str, Any]) -> StudySummary:
        """Grant a study more and let it go on: ``{"time": "+10m"}``."""
        return self._steer(name, "extend", {"settings": dict(settings)})

    def delete(self, name: str) -> StudySummary:
        """Delete a study that does not run; until ``deleted_until`` it can be restored."""
        answer = self._ask("DELETE", _study(name), repeat=True, done=HTTPStatus.NOT_FOUND)
        if answer.is_success:
            return _view(StudySummary, _members(answer))
        return next(each for each in self.studies(deleted=True) if each.name == name)

    def restore(self, name: str) -> StudySummary:
        """Bring back a study that was deleted."""
        return self._steer(name, "restore")

    def log(self, name: str) -> str:
        """What the process of the study's latest run said."""
        return self._get(f"{_study(name)}/log").text

    def events(self, name: str, after: str | None = None, *, follow: bool = True) -> Iterator[StudyEvent]:
        """What happens in a study, from the beginning of its latest run, or behind the event with the id ``after``.

        It ends with what has happened unless ``follow``, which waits for more and connects anew when it is cut off.
        """
        return stream(self._connection, f"{_study(name)}/events", after, follow=follow)

    # trials

    def trials(
        self,
        name: str,
        *,
        states: Sequence[str] = (),
        families: Sequence[str] = (),
        sort: str = "number",
        descending: bool = False,
    ) -> Iterator[TrialSummary]:
        """The trials of a study, fetched as they are used; sorted by number, score, params, training or epochs."""
        chosen = {"state": list(states), "family": list(families)}
        path = f"{_study(name)}/trials"
        for each in self._items(path, **chosen, sort=sort, descending=descending):
            yield _view(TrialSummary, each)

    def trial(self, name: str, number: int) -> TrialDetail:
        """All that is known of a trial, with its learning curve."""
        return _view(TrialDetail, _members(self._get(_trial(name, number))))

    def leaderboard(self, name: str, limit: int = 20) -> list[TrialSummary]:
        """The best trials, the best first; running ones take part."""
        return self._list(TrialSummary, f"{_study(name)}/leaderboard", limit=limit)

    def curves(self, name: str, limit: int = 60) -> list[LearningCurve]:
        """How the best trials learnt, and those that were stopped latest."""
        return self._list(LearningCurve, f"{_study(name)}/curves", limit=limit)

    def importances(self, name: str) -> list[Importance]:
        """How much each knob mattered, the most important first."""
        return self._list(Importance, f"{_study(name)}/importances")

    def enqueue(self, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Let a trial made by hand be the next: ``{"family": "lenet", "lenet.width": 8}``; returns its parameters."""
        queued = self._create(f"{_study(name)}/trials", {"settings": dict(settings)})
        parameters: dict[str, Any] = queued["parameters"]
        return parameters

    def retry(self, name: str, number: int) -> TrialSummary:
        """Let a stopped trial go on, or a failed one begin anew, when the study runs."""
        answer = self._ask("POST", f"{_trial(name, number)}/retry", repeat=False)
        return _view(TrialSummary, _members(answer))

    def stop_trial(self, name: str, number: int) -> TrialSummary:
        """Let a running trial end with its present epoch."""
        answer = self._ask("POST", f"{_trial(name, number)}/stop", repeat=False)
        return _view(TrialSummary, _members(answer))

    # results

    def select(self, name: str, **limits: str | float) -> JobView:
        """Begin to select an ensemble: ``strategy``, ``size``, ``max_params``, ``max_bytes``, ``max_latency``."""
        return _view(JobView, self._create(f"{_study(name)}/ensemble", limits))

    def find_front(self, name: str, cost: Literal["params", "latency"] = "params") -> JobView:
        """Begin to look for the best ensembles at each cost."""
        return _view(JobView, self._create(f"{_study(name)}/ensemble/front", {"cost": cost}))

    def front(self, name: str, cost: Literal["params", "latency"] = "params") -> dict[str, Any]:
        """The front that was found last: ``{"study": …, "cost": …, "front": [{"cost": …, …}]}``."""
        return _members(self._get(f"{_study(name)}/ensemble/front", cost=cost))

    def export(self, name: str, formats: Sequence[str] = (), **limits: str | float) -> JobView:
        """Begin to export the study's ensemble, or one within ``limits`` as ``select`` has them.

        The id of the job is that of the export.
        """
        content = {"formats": list(formats), **limits}
        return _view(JobView, self._create(f"{_study(name)}/exports", content))

    def exports(self, name: str) -> list[ExportView]:
        """The exports that there are; ``study`` is the one that the study made at its end."""
        return self._list(ExportView, f"{_study(name)}/exports")

    def download(
        self, name: str, path: str | os.PathLike[str], export: str = "study", progress: Progress | None = None
    ) -> Path:
        """Write an export to ``path`` as a zip file, whole or not at all; returns the path."""
        to, patience = Path(path), Patience(self._connection.patience_s)
        while True:
            try:
                self._download(f"{_study(name)}/exports/{quote(export)}/download", to, progress)
                return to
            except (httpx.TransportError, Busy) as error:
                self._connection.again(error, patience)

    def predict(
        self, name: str, picture: str | os.PathLike[str], *, top: int = 5, export: str = "study"
    ) -> dict[str, float]:
        """What an export says of a picture's file: class → probability, the most probable class first."""
        content = Path(picture).read_bytes()
        answer = self._ask(
            "POST",
            f"{_study(name)}/predict",
            repeat=True,  # it changes nothing
            body=lambda: iter((content,)),
            headers={"Content-Type": "application/octet-stream", "Content-Length": str(len(content))},
            params={"export": export, "top": top},
        )
        found: dict[str, float] = _members(answer)["top"]
        return found

    def make_report(self, name: str) -> JobView:
        """Begin to tell the study as a story."""
        return _view(JobView, self._create(f"{_study(name)}/report", None))

    def report(self, name: str, form: Literal["html", "markdown"] = "html") -> str:
        """The story of the study that was told last."""
        return self._get(f"{_study(name)}/report", format=form).text

    def job(self, study: str, id: str) -> JobView:
        """Something that takes a while: how it stands, and its answer once it is done."""
        return _view(JobView, _members(self._get(f"{_study(study)}/jobs/{quote(id)}")))

    def wait(self, job: JobView, progress: Callable[[JobView], None] | None = None) -> JobView:
        """``job`` once it is done; ``progress`` hears of it at each look. Raises ``ConvscoutError`` where it fails."""
        patience = Patience(float("inf"), longest_s=_LONGEST_LOOK_S)
        while job.state.active:
            if progress:
                progress(job)
            patience.pause()
            job = self.job(job.study, job.id)
        if progress:
            progress(job)
        if job.state is JobState.LOST:
            raise ConvscoutError(
                f"the process of the {job.kind} of study {job.study!r} was killed; try again"
            )
        if job.state is JobState.FAILED:
            raise ConvscoutError(job.error or f"the {job.kind} of study {job.study!r} failed")
        return job

    # datasets

    def datasets(self) -> list[DatasetView]:
        """What studies can be started on."""
        return self._list(DatasetView, "/datasets")

    def dataset(self, name: str) -> DatasetView:
        """What is known of a dataset without reading its images."""
        return _view(DatasetView, _members(self._get(_dataset(name))))

    def upload(
        self, path: str | os.PathLike[str], name: str, progress: Progress | None = None
    ) -> DatasetView:
        """Bring a zip of image folders, or an npz file; the answer comes once all of it was looked at."""
        file = Path(path)
        self._refuse_taken(name)  # so that nobody sends a gigabyte in vain
        answer = self._ask(
            "POST",
            "/datasets",
            repeat=True,  # of two alike, the service refuses the second
            done=HTTPStatus.CONFLICT,
            body=lambda: _chunks(file, progress),
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Length": str(file.stat().st_size),
            },
            params={"name": name},
            timeout=_UPLOAD_S,
        )
        return _view(DatasetView, _members(answer)) if answer.is_success else self.dataset(name)

    def check_dataset(self, name: str) -> dict[str, Any]:
        """How many images each class has, which occur twice, which files are bad."""
        return _members(self._get(f"{_dataset(name)}/check", timeout=_UPLOAD_S))

    def preview_dataset(self, name: str) -> bytes:
        """A PNG with a few training images of every class."""
        return self._get(f"{_dataset(name)}/preview", timeout=_UPLOAD_S).content

    def delete_dataset(self, name: str) -> None:
        """Remove an uploaded dataset for good."""
        self._ask("DELETE", _dataset(name), repeat=True, done=HTTPStatus.NOT_FOUND)

    # within

    def _ask(self, method: str, path: str, **parts: Any) -> httpx.Response:
        return self._connection.ask(method, path, **parts)

    def _get(self, path: str, *, timeout: float | None = None, **parameters: Any) -> httpx.Response:
        parts = {"timeout": timeout} if timeout else {}
        return self._ask("GET", path, repeat=True, params=parameters, **parts)

    def _create(self, path: str, content: object) -> dict[str, Any]:
        """What was made, once, however often it has to be sent: the service knows it by its key."""
        parts = {} if content is None else {"json": content}
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        return _members(self._ask("POST", path, repeat=True, headers=headers, **parts))

    def _steer(self, name: str, action: str, content: object = None) -> StudySummary:
        parts = {} if content is None else {"json": content}
        answer = self._ask("POST", f"{_study(name)}/{action}", repeat=False, **parts)
        return _view(StudySummary, _members(answer))

    def _items(self, path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Those of a list that comes in pages."""
        wanted = {**parameters, "limit": _PAGE}
        while True:
            page = _members(self._get(path, **wanted))
            yield from page["items"]
            if page["next"] is None:
                return
            wanted["cursor"] = page["next"]

    def _list(self, kind: type[View], path: str, **parameters: Any) -> list[View]:
        return [_view(kind, each) for each in _members(self._get(path, **parameters))["items"]]

    def _download(self, path: str, to: Path, progress: Progress | None) -> None:
        with self._connection.stream(path) as response, writing_bytes(to) as file:
            told = response.headers.get("Content-Length")
            total, done = int(told) if told else None, 0
            for chunk in response.iter_bytes(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                if progress:
                    progress(done, total)

    def _refuse_taken(self, name: str) -> None:
        if any(each.name == name for each in self.datasets()):
            raise UserError(f"the service has a dataset {name!r} already; choose another name")


def _study(name: str) -> str:
    return f"/studies/{quote(name, safe='')}"


def _trial(name: str, number: int) -> str:
    return f"{_study(name)}/trials/{number}"


def _dataset(name: str) -> str:
    return f"/datasets/{quote(name, safe='')}"


def _chunks(file: Path, progress: Progress | None) -> Iterator[bytes]:
    total, done = file.stat().st_size, 0
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK):
            yield chunk
            done += len(chunk)
            if progress:
                progress(done, total)


def _members(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer. Raises ``ConvscoutError`` where something else than convscout answers."""
    try:
        told = response.json()
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise ConvscoutError(f"what answers at {response.request.url} is no service of convscout")
    return told


def _view(kind: type[View], members: object) -> View:
    try:
        return kind.model_validate(members)
    except ValidationError as error:
        raise ConvscoutError(
            f"the service speaks another version than this client: {error.error_count()} fields of a "
            f"{kind.__name__} are not as they should be; install the same convscout on both sides"
        ) from None
