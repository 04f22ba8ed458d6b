"""Export: write a trained ensemble in every format, prove that each answers alike, and put it in place whole."""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar

from convscout.search_space.errors import ConfigError, ConvscoutError, ExportError, Problem
from convscout.services.export import checksums
from convscout.services.export.checksums import write_checksums
from convscout.services.export.json_file import read_json
from convscout.services.export.parity import TOLERANCE, Parity, questions
from convscout.services.export.reload import Reloaded, ask
from convscout.services.plugins import exporters
from convscout.services.system.directories import replacing
from convscout.trials.data.mapped_images import Images, Pixels

if TYPE_CHECKING:
    from convscout.services.ensembles.trained import TrainedEnsemble
    from convscout.trials.data.splits import Labels
    from convscout.trials.evaluation.metrics import Probabilities

PARITY_FILE = "parity.json"
LEFT_OUT = "left_out"  # in parity.json, why a format is not there
CANONICAL = "bundle"  # without it an ensemble could not be exported again


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """Validation ``images`` (N, H, W, C) uint8, with ``labels`` (N,) where they are known."""

    images: Images
    labels: Labels | None = None


class Exporter(ABC):
    """Writes one format. An exporter is a subclass, registered with ``@exporters.register(NAME)``.

    ``needs`` names the formats whose files it builds on. One that is not ``default`` is written only when named.
    ``reader`` is ``MODULE:FUNCTION``, a function that reads the format back from a directory as a predictor, with no
    more than what its runtime needs; empty for a format that computes nothing itself. ``tolerance`` is how far its
    probabilities may be from the trained networks'.

        import json
        from convscout.services.export.writer import Exporter
        from convscout.services.plugins import exporters

        @exporters.register("classes")
        class ClassNames(Exporter):
            default = False

            def write(self, ensemble, directory):
                text = json.dumps(ensemble.class_names)
                (directory / "classes.json").write_text(text, encoding="utf-8")
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    default: ClassVar[bool] = True
    reader: ClassVar[str] = ""
    tolerance: ClassVar[float] = TOLERANCE

    def __init__(self, examples: Examples) -> None:
        self.examples = examples

    @abstractmethod
    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        """Write this format's files, which no other format writes, into ``directory``.

        Their names are of letters, digits, ``_``, ``-`` and ``.``. As the directory is moved, none holds its path.
        Raises ``ConvscoutError`` with the reason when that is not possible.
        """

    def figures(self, directory: Path) -> Mapping[str, float]:
        """What else ``parity.json`` says of what was written, by name."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written: the parity of each format that computes, and why formats were left out."""

    parities: Mapping[str, Parity]
    left_out: Mapping[str, str]


def recorded(directory: Path) -> dict[str, dict[str, Any]]:
    """What ``parity.json`` in ``directory`` says of each format. Raises ``ExportError`` when it is damaged."""
    try:
        told = read_json(directory / PARITY_FILE)
        return {name: dict(values) for name, values in told.items()}
    except (ValueError, TypeError, AttributeError):
        raise ExportError(
            f"{directory / PARITY_FILE} is damaged: it must hold what each format came to"
        ) from None


def export(
    ensemble: TrainedEnsemble,
    directory: Path,
    images: Images,
    *,
    labels: Labels | None = None,
    formats: Sequence[str] = (),
) -> Exported:
    """Write ``ensemble`` into ``directory``, replacing an older export there only when all is well.

    ``images`` (N, H, W, C) are validation images to compare the written models with the trained one on, each in a
    fresh process of its own runtime; the first 256 are used. Some formats need more of them, and their ``labels`` (N,).
    ``formats`` are names of exporters; none means the default ones. What it comes to is also in ``parity.json``;
    ``SHA256SUMS`` covers every file.

    A format that cannot be written, or answers differently, is removed and left out with the reason, and so is whatever
    builds on it. Raises ``ConvscoutError`` when that is the bundle, or when nothing is left that computes, and
    ``ExportError`` when ``directory`` holds something else.
    """
    examples = Examples(images=images, labels=labels)
    chosen = [exporters.get(name)(examples) for name in _complete(formats)]
    directory = directory.resolve()
    _check_replaceable(directory)
    with replacing(directory) as temporary, _Writing(temporary, chosen) as writing:
        writing.write(ensemble)
        batches = questions(images)
        found = writing.check(batches, ask(ensemble.build_module().answer, batches))
        (temporary / PARITY_FILE).write_text(json.dumps(writing.record, indent=2) + "\n")
        write_checksums(temporary)
    return found


@dataclass(eq=False)
class _Writing:
    """The formats that are being written into ``directory``."""

    directory: Path
    chosen: Sequence[Exporter]
    record: dict[str, dict[str, Any]] = field(default_factory=dict)  # of parity.json
    _files: dict[str, set[Path]] = field(default_factory=dict)
    _reloaded: dict[str, Reloaded] = field(default_factory=dict)
    _left_out: dict[str, str] = field(default_factory=dict)
    _processes: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> _Writing:
        return self

    def __exit__(self, *exception: object) -> None:
        self._processes.close()

    def write(self, ensemble: TrainedEnsemble) -> None:
        """Write all formats, while the processes that will read them back start."""
        for exporter in self.chosen:
            if exporter.reader:
                process = Reloaded(exporter.reader, self.directory)
                self._reloaded[exporter.name] = self._processes.enter_context(process)
        for exporter in self.chosen:
            present = set(self.directory.iterdir())
            try:
                self._refuse_lacking(exporter)
                exporter.write(ensemble, self.directory)
            except ConvscoutError as error:
                self._files[exporter.name] = set(self.directory.iterdir()) - present
                self._leave_out(exporter.name, error.message)
                continue
            self._files[exporter.name] = set(self.directory.iterdir()) - present

    def check(self, batches: Sequence[Pixels], expected: Probabilities) -> Exported:
        """Compare what each format answers to ``batches`` with the ``expected`` answers (N, K)."""
        parities = {}
        for exporter in self._remaining(self._reloaded):
            try:
                answers = self._reloaded[exporter.name].answers(batches)
                parity = Parity.of(batches, answers, expected, exporter.tolerance)
                parity.require()
            except ConvscoutError as error:
                self._leave_out(exporter.name, error.message)
                continue
            parities[exporter.name] = parity
        parities = {exporter.name: parities[exporter.name] for exporter in self._remaining(parities)}
        if not parities:
            raise ConvscoutError(
                "; ".join(map(self._sentence, self._left_out)) or "no format that computes was named"
            )
        for exporter in self._remaining(parities):
            self.record[exporter.name] = {
                **parities[exporter.name].to_dict(), **exporter.figures(self.directory)
            }  # fmt: skip
        self.record |= {name: {LEFT_OUT: reason} for name, reason in self._left_out.items()}
        return Exported(parities=parities, left_out=self._left_out)

    def _remaining(self, names: Iterable[str]) -> list[Exporter]:
        return [each for each in self.chosen if each.name in names and each.name not in self._left_out]

    def _refuse_lacking(self, exporter: Exporter) -> None:
        for needed in exporter.needs:
            if needed in self._left_out:
                raise ConvscoutError(f"it needs {needed}, which was left out")

    def _leave_out(self, name: str, reason: str) -> None:
        self._left_out[name] = reason
        if name == CANONICAL:
            raise ConvscoutError(self._sentence(name))
        for path in self._files.pop(name, ()):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for exporter in self.chosen:
            if name in exporter.needs and exporter.name in self._files:
                self._leave_out(exporter.name, f"it needs {name}, which was left out")

    def _sentence(self, name: str) -> str:
        return f"the {name} export was discarded: {self._left_out[name]}"


def refuse_left_out(directory: Path, formats: Iterable[str]) -> None:
    """Raise ``ConvscoutError`` when the export in ``directory`` was written without one of ``formats``."""
    told = recorded(directory)
    reasons = [f"{name}: {told[name][LEFT_OUT]}" for name in formats if LEFT_OUT in told.get(name, {})]
    if reasons:
        raise ConvscoutError(f"{directory} was exported without {'; without '.join(reasons)}")


def default_formats() -> tuple[str, ...]:
    """Those that every study is exported in: what predicting, tracking and checking need."""
    return tuple(name for name, exporter in exporters.items() if exporter.default)


def _complete(formats: Sequence[str]) -> tuple[str, ...]:
    """``formats``, or the default ones; raises ``ConfigError`` when one lacks another that it needs."""
    names = tuple(dict.fromkeys(formats)) or default_formats()
    problems = [
        Problem(field="formats", value=", ".join(names), rule=f"{name} needs {needed} to be exported too")
        for name in names
        for needed in exporters.get(name).needs
        if needed not in names
    ]
    if problems:
        raise ConfigError(problems)
    return names


def _check_replaceable(directory: Path) -> None:
    """Replacing a directory deletes it, so it must be empty or hold nothing but an older export."""
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return
    try:
        known = {checksums.FILE, *checksums.listed_files(directory)}
    except ExportError as error:
        raise ExportError(f"{directory} is in the way ({error.message}); choose another directory") from error
    known |= {str(folder) for name in known for folder in PurePosixPath(name).parents}
    foreign = sorted({path.relative_to(directory).as_posix() for path in directory.rglob("*")} - known)
    if foreign:
        raise ExportError(
            f"{directory} holds {foreign[0]!r}, which is not part of the export that would be replaced; "
            "move it away or choose another directory"
        )
