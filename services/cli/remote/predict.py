"""What a study of a service says of images: predict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convscout.search_space.errors import (
    ConfigError,
    StudyNotFoundError,
    StudyStateError,
    UnknownNameError,
    UserError,
)
from convscout.services.cli import local
from convscout.services.cli.answers import CsvOption, Model, Output, Paths, Top
from convscout.services.cli.options import JsonOption

if TYPE_CHECKING:
    from convscout.services.client import Client
    from convscout.services.inference.predict import Prediction

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
    from convscout.services.inference.images import files_of  # it imports torch, which takes seconds

    form = local.answers.Form(json=json, csv=csv, output=output)
    form.writer()
    files = files_of(paths)
    local.answers.tell(_answers(client, str(directory), files, top), files, form, top=top, many=_MANY)


def _answers(client: Client, name: str, files: Sequence[Path], top: int) -> Iterator[Prediction]:
    # not at the top, as it imports torch, which takes seconds
    from convscout.services.inference.predict import ClassProbability, Prediction

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
