"""Answers of `predict`: written as they come, as a table, CSV or JSON, with a word on what could not be read."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from rich.console import Console

from convscout.search_space.errors import ConfigError, DataError, Problem
from convscout.services.cli.display import display
from convscout.services.cli.output import Lines, print_line
from convscout.services.events.events import Listener, Loading
from convscout.services.inference.predict import Prediction
from convscout.services.inference.prediction_files import Writer, shown, write_csv, write_json, writer_for
from convscout.services.system.files import writing

_NAMED = 3  # unreadable files in an error


@dataclass(frozen=True, kw_only=True)
class Form:
    """How answers are written: ``json`` or ``csv`` to stdout, to the file ``output``, else as a table."""

    json: bool
    csv: bool
    output: Path | None

    def writer(self) -> Writer | None:
        """What writes the answers; None for a table. Raises ``ConfigError`` where several are asked for."""
        given = {"--json": self.json, "--csv": self.csv, "--output": self.output}
        asked = [name for name, wanted in given.items() if wanted]
        if len(asked) > 1:
            rule = "only one of --json, --csv and --output may be given; --output alone writes a file"
            raise ConfigError([Problem(field="output", value=" ".join(asked), rule=rule)])
        if self.output is not None:
            return writer_for(self.output)
        return write_json if self.json else write_csv if self.csv else None


def tell(
    answers: Iterable[Prediction],
    files: Sequence[Path],
    form: Form,
    *,
    top: int,
    class_names: Iterable[str] = (),
    many: int,
) -> None:
    """Write ``answers`` to ``files`` as ``form`` says; of more than ``many`` of them the progress is shown.

    ``class_names`` are those that a table must hold. Raises ``DataError`` for files that could not be read.
    """
    write, out, output = form.writer(), sys.stdout, form.output
    seen = output is None and out.isatty()  # then answers are seen to come, and need no other sign of life
    tally = _Tally()
    with display(Console(stderr=True), quiet=seen or len(files) <= many) as listener:
        counted = tally.count(answers, len(files), listener)
        if output is not None:
            _write_file(write, counted, output, top)
        elif write is not None:
            write(counted, out, top)
        else:
            _print_rows(counted, class_names, files, out)
    if output is not None:
        print_line(f"written: {output} ({tally.total - tally.unreadable:,} images)")
    if tally.unreadable and not form.json:
        raise DataError(tally.complaint)


@dataclass
class _Tally:
    """How many files were answered, and which could not be."""

    total: int = 0
    unreadable: int = 0
    named: list[str] = field(default_factory=list)

    def count(
        self, predictions: Iterable[Prediction], total: int, listener: Listener
    ) -> Iterator[Prediction]:
        """The same ``predictions``, told to ``listener`` as they pass."""
        for each in predictions:
            self.total += 1
            if not each.readable:
                self.unreadable += 1
                if self.unreadable <= _NAMED:
                    self.named.append(f"{shown(each.path)} {each.reason}")
            listener(Loading(description="classifying", done=self.total, total=total))
            yield each

    @property
    def complaint(self) -> str:
        more = f"; and {self.unreadable - _NAMED} more" if self.unreadable > _NAMED else ""
        named = "; ".join(self.named)
        return f"{self.unreadable} of {self.total} files could not be read as images: {named}{more}"


def _write_file(write: Writer | None, answers: Iterable[Prediction], output: Path, top: int) -> None:
    assert write is not None, "a file has a kind"
    with writing(output) as file:
        write(answers, file, top)


def _print_rows(
    answers: Iterable[Prediction], class_names: Iterable[str], files: Sequence[Path], out: TextIO
) -> None:
    """A table whose rows are printed as they come, as all that it will name is known beforehand."""
    paths = (shown(str(file)) for file in files)
    lines = Lines({"image": paths, "class": class_names, "probability": ()}, right="probability", file=out)
    for each in answers:
        for place, guess in enumerate(each.top):
            name = "" if place else shown(each.path)
            lines.print(name, guess.class_name, f"{guess.probability:.4f}")
        if not each.readable:
            lines.print(shown(each.path), f"unreadable: {each.reason}", "")
