"""Results: what is made of a study's trials afterwards, each by a job: ensembles, their front, exports, the report."""

from __future__ import annotations

import datetime
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convscout.search_space.errors import ConfigError, Problem, UnknownNameError
from convscout.services.config.home import Home
from convscout.services.config.study_config import SETTINGS
from convscout.services.control.jobs import Job
from convscout.services.control.scheduler import Supervisor
from convscout.services.export.onnx_model import MODEL_FILE, ExportedModel
from convscout.services.export.writer import LEFT_OUT, recorded
from convscout.services.inference.predict import load_model
from convscout.services.report.files import MARKDOWN, PAGE, story_directory
from convscout.services.schemas.jobs import JobKind, JobState
from convscout.services.schemas.studies import ExportView, JobView
from convscout.trials.checkpoints.durable_files import Durability, placing

STUDYS_OWN = "study"
"""What the export is called that a study makes at its end."""
LIMITS = {
    "strategy": "ensemble_strategy",
    "size": "ensemble_size",
    "max_params": "ensemble_max_params",
    "max_bytes": "ensemble_max_bytes",
    "max_latency": "ensemble_max_latency",
}
"""What an ensemble may be asked to be, and the setting that it stands for."""
_MOST_MODELS = 4  # kept in memory for predicting


class Results:
    """The results of the studies of ``home``; ``supervisor`` runs the jobs that make them."""

    def __init__(self, home: Home, supervisor: Supervisor) -> None:
        self._home = home
        self._supervisor = supervisor
        self._models: OrderedDict[tuple[Path, int], ExportedModel] = OrderedDict()
        self._one_at_a_time = threading.Lock()

    def select(self, name: str, limits: Mapping[str, str | int | float]) -> JobView:
        """Begin to select an ensemble of the study within ``limits``, by the names in ``LIMITS``."""
        return self._begin(JobKind.ENSEMBLE, name, ["ensemble", name, *_flags(limits)])

    def front(self, name: str, cost: str) -> JobView:
        """Begin to look for the best ensembles of the study at each ``cost``: "params" or "latency"."""
        return self._begin(JobKind.FRONT, name, ["ensemble", name, "--front", "--cost", cost])

    def latest_front(self, name: str, cost: str) -> dict[str, Any] | None:
        """The last front of that ``cost`` that was found, or None."""
        for job in reversed(self._supervisor.jobs.of(name)):
            wanted = job.kind is JobKind.FRONT and cost in job.arguments and job.state is JobState.DONE
            if wanted:
                found: dict[str, Any] = job.output
                return found
        return None

    def export(self, name: str, formats: tuple[str, ...], limits: Mapping[str, str | int | float]) -> JobView:
        """Begin to export the study's ensemble in ``formats``, or another one within ``limits``."""
        _refuse_bad({"formats": list(formats)})
        words = ["ensemble" if limits else "export", name, *_flags(limits)]
        words += [f"--formats={','.join(formats)}"] if formats else []
        return self._begin(JobKind.EXPORT, name, words, to=self._exports(name))

    def exports(self, name: str) -> list[ExportView]:
        """The exports of a study, its own first, then those that were asked for, the latest first."""
        found = [self._home.study(name).export, *sorted(self._exports(name).glob("[0-9]*"), reverse=True)]
        return [_view(path) for path in found if (path / MODEL_FILE).exists()]

    def directory(self, name: str, export: str) -> Path:
        """Where an export lies. Raises ``UnknownNameError``."""
        known = {view.id: Path(view.directory) for view in self.exports(name)}
        if export not in known:
            raise UnknownNameError.among("export", export, list(known) or ["none yet"])
        return known[export]

    def archive(self, name: str, export: str) -> Path:
        """A zip file of an export, made when it is first asked for."""
        directory = self.directory(name, export)
        path = self._exports(name) / f"{name}-{export}-{_made_at(directory)}.zip"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with placing(path, Durability.ATOMIC) as fresh, zipfile.ZipFile(fresh, "w") as archive:
                for file in sorted(directory.rglob("*")):  # stored as they are: weights do not compress
                    archive.write(file, Path(name) / file.relative_to(directory))
        return path

    def model(self, name: str, export: str) -> ExportedModel:
        """An exported ensemble, ready to be asked."""
        directory = self.directory(name, export)
        key = directory, _made_at(directory)
        with self._one_at_a_time:
            model = self._models.pop(key, None) or load_model(directory)
            self._models[key] = model
            while len(self._models) > _MOST_MODELS:
                self._models.popitem(last=False)
            return model

    def report(self, name: str) -> JobView:
        """Begin to tell the study as a story."""
        return self._begin(JobKind.REPORT, name, ["report", name])

    def report_path(self, name: str, *, markdown: bool) -> Path | None:
        """The latest story of a study, as a page or as Markdown, or None."""
        path = story_directory(self._home.study(name)) / (MARKDOWN if markdown else PAGE)
        return path if path.exists() else None

    def job(self, id: str) -> Job:
        """The job of that ``id``. Raises ``UnknownNameError``."""
        job = self._supervisor.jobs.get(id)
        if job is None:
            raise UnknownNameError(f"no job {id!r}; jobs that ended long ago are forgotten")
        return job

    def _exports(self, name: str) -> Path:
        return self._home.study(name).directory / "exports"

    def _begin(self, kind: JobKind, name: str, words: list[str], to: Path | None = None) -> JobView:
        """Have a job begun, unless the same one is being done already."""
        words = [*words, "--home", str(self._home.root), "--json"]
        with self._supervisor.lock:
            for job in self._supervisor.jobs.of(name):
                if job.state.active and list(job.arguments)[: len(words)] == words:
                    return job_view(job)
            into = ["--to", f"{to}/{{id}}"] if to else []
            return job_view(self._supervisor.jobs.add(kind, name, [*words, *into]))


def job_view(job: Job) -> JobView:
    """A job as it is shown."""
    state = job.state
    return JobView(
        id=job.id,
        kind=job.kind,
        study=job.study,
        state=state,
        created_at=datetime.datetime.fromtimestamp(job.created_at, datetime.UTC),
        error=job.error if state is JobState.FAILED else "",
        result=job.output if state is JobState.DONE else None,
    )


def _flags(limits: Mapping[str, str | int | float]) -> list[str]:
    """``limits`` as options. Raises ``ConfigError`` for bad ones."""
    _refuse_bad({LIMITS[limit]: value for limit, value in limits.items()})
    return [f"--{limit.replace('_', '-')}={value}" for limit, value in limits.items()]


def _refuse_bad(settings: Mapping[str, Any]) -> None:
    """Raise ``ConfigError`` for what no study could be asked for."""
    problems = []
    for name, value in settings.items():
        try:
            SETTINGS[name].rule.parse(value)
        except ValueError as error:
            problems.append(Problem(field=SETTINGS[name].path, value=value, rule=str(error)))
    if problems:
        raise ConfigError(problems)


def _view(path: Path) -> ExportView:
    own = path.name == "export"
    return ExportView(
        id=STUDYS_OWN if own else path.name,
        directory=str(path),
        formats=[name for name, told in recorded(path).items() if LEFT_OUT not in told],
        bytes=sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
        created_at=datetime.datetime.fromtimestamp((path / MODEL_FILE).stat().st_mtime, datetime.UTC),
    )


def _made_at(directory: Path) -> int:
    return int((directory / MODEL_FILE).stat().st_mtime)
