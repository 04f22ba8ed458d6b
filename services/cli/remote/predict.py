"""What a study of a service says of images: predict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from search_space.errors import ConfigError, StudyNotFoundError, StudyStateError, UnknownNameError, UserError
from services.cli.answers import CsvOption, Form, Model, Output, Paths, Top, tell
from services.cli.options import JsonOption

if TYPE_CHECKING:
    from services.client import Client
    from services.predict import Prediction

_MANY = 16  # pictures, each of which is sent by itself


def predict(
    client: Client,
    directory: Model,
    paths: Paths,
    top: Top = 1,
    json: JsonOption = False,
    csv: CsvOption = False,
    output: Output = None,
) -> None:
    """Ask a study there about images that lie here."""
    from services.predict import files_of

    form = Form(json=json, csv=csv, output=output)
    form.writer()
    files = files_of(paths)
    tell(_answers(client, str(directory), files, top), files, form, top=top, many=_MANY)


def _answers(client: Client, name: str, files: Sequence[Path], top: int) -> Iterator[Prediction]:
    from services.predict import ClassProbability, Prediction

    for file in files:
        try:
            found = client.predict(name, file, top=top)
        except (StudyNotFoundError, StudyStateError, UnknownNameError):
            raise
        except OSError as error:
            yield Prediction(path=str(file), reason=error.strerror or "cannot be read")
        except ConfigError as error:
            yield Prediction(path=str(file), reason="; ".join(each.rule for each in error.problems))
        except UserError as error:
            yield Prediction(path=str(file), reason=error.message)
        else:
            told = (ClassProbability(class_name=each, probability=share) for each, share in found.items())
            yield Prediction(path=str(file), top=tuple(told))
