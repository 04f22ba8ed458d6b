"""Using what a study came to: predict."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from search_space.errors import ConfigError, DataError, Problem
from services.cli.options import JsonOption
from services.cli.output import Lines, print_line

if TYPE_CHECKING:
    from services.events import Listener
    from services.exported_model import ExportedModel
    from services.predict import Prediction
    from services.prediction_files import Writer

PANEL = "Use the result"
_NAMED = 3  # unreadable files in an error


def add_to(app: typer.Typer) -> None:
    """Make the command of this file known."""
    app.command("predict", rich_help_panel=PANEL)(predict)


def predict(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory that `export` wrote.")],
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Images, directories of images, or globs.")
    ],
    top: Annotated[int, typer.Option(min=1, metavar="K", help="Classes to show of each image.")] = 1,
    batch_size: Annotated[
        int, typer.Option(min=1, max=4096, metavar="N", help="Images that are answered together.")
    ] = 64,
    json: JsonOption = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV and nothing else.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write FILE.csv, or FILE.jsonl with a JSON object a line."),
    ] = None,
) -> None:
    """Tell the class of images, with probabilities.

    What cannot be read as an image is named with the reason, and the others are answered.

    Example: convscout predict runs/studies/quickstart/export photos --top 3 --output answers.csv
    """
    from rich.console import Console

    from services.display import display
    from services.predict import files_of, load_model, predictions

    write = _writer(json, csv, output)
    model, files, out = load_model(directory), files_of(paths), sys.stdout
    top = min(top, len(model.class_names))
    seen = output is None and out.isatty()  # then answers are seen to come, and need no other sign of life
    tally = _Tally()
    with display(Console(stderr=True), quiet=seen or len(files) <= batch_size) as listener:
        answers = tally.counted(
            predictions(model, files, top=top, batch_size=batch_size), len(files), listener
        )
        if output is not None:
            _write_file(write, answers, output, top)
        elif write is not None:
            write(answers, out, top)
        else:
            _print_rows(answers, model, files, out)
    if output is not None:
        print_line(f"written: {output} ({tally.total - tally.unreadable:,} images)")
    if tally.unreadable and not json:
        raise DataError(tally.complaint)


@dataclass
class _Tally:
    """How many files were answered, and which could not be."""

    total: int = 0
    unreadable: int = 0
    named: list[str] = field(default_factory=list)

    def counted(
        self, predictions: Iterable[Prediction], total: int, listener: Listener
    ) -> Iterator[Prediction]:
        """The same ``predictions``, told to ``listener`` as they pass."""
        from services.events import Loading
        from services.prediction_files import shown

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


def _writer(json: bool, csv: bool, output: Path | None) -> Writer | None:
    """What writes the answers; None for a table. Raises ``ConfigError`` where several are asked for."""
    from services.prediction_files import write_csv, write_json, writer_for

    asked = [name for name, given in {"--json": json, "--csv": csv, "--output": output}.items() if given]
    if len(asked) > 1:
        rule = "only one of --json, --csv and --output may be given; --output alone writes a file"
        raise ConfigError([Problem(field="output", value=" ".join(asked), rule=rule)])
    if output is not None:
        return writer_for(output)
    return write_json if json else write_csv if csv else None


def _write_file(write: Writer | None, answers: Iterable[Prediction], output: Path, top: int) -> None:
    from services.atomic_file import writing

    assert write is not None, "a file has a kind"
    with writing(output) as file:
        write(answers, file, top)


def _print_rows(
    answers: Iterable[Prediction], model: ExportedModel, files: Sequence[Path], out: TextIO
) -> None:
    """A table whose rows are printed as they come, as all that it will name is known beforehand."""
    from services.prediction_files import shown

    paths = (shown(str(file)) for file in files)
    lines = Lines(
        {"image": paths, "class": model.class_names, "probability": ()}, right="probability", file=out
    )
    for each in answers:
        for place, guess in enumerate(each.top):
            name = "" if place else shown(each.path)
            lines.print(name, guess.class_name, f"{guess.probability:.4f}")
        if not each.readable:
            lines.print(shown(each.path), f"unreadable: {each.reason}", "")
