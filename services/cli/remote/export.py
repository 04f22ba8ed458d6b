"""Exports of a service's studies: export."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from convscout.services.cli.formats import ExportTo, Formats, Int8, choose_formats
from convscout.services.cli.options import JsonOption, NameArgument
from convscout.services.cli.output import predict_hint, print_json, print_line
from convscout.services.cli.remote.progress import progress, wait
from convscout.services.export.checksums import FILE, listed_files
from convscout.services.system.directories import refuse_foreign, replacing

if TYPE_CHECKING:
    from convscout.services.client import Client
    from convscout.services.schemas.studies import ExportView


def export(
    client: Client,
    name: NameArgument,
    to: ExportTo = None,
    formats: Formats = None,
    int8: Int8 = False,
    json: JsonOption = False,
) -> None:
    """Export the study's ensemble there, and fetch it if it is wanted here."""
    if to is not None:
        _refuse_foreign(to)
    job = wait(client, client.export(name, choose_formats(formats, int8)), "exporting", quiet=json)
    made = next(each for each in client.exports(name) if each.id == job.id)
    if to is not None:
        _fetch(client, name, made, to, quiet=json)
    if json:
        print_json(made.model_dump(mode="json"))
        return
    print_line(f"formats: {', '.join(made.formats)}")
    if to is None:
        print_line(f"export: {made.directory} at {client.url}")
        print_line(f"fetch it: convscout export {name} --to model --server {client.url}")
    else:
        print_line(f"export: {to}")
        print_line(predict_hint(to))


def _refuse_foreign(directory: Path) -> None:
    """Raise ``UserError`` where ``directory`` holds something else than an older export."""
    ours = {FILE}
    if (directory / FILE).exists():
        ours |= {PurePosixPath(name).parts[0] for name in listed_files(directory)}
    refuse_foreign(directory, ours, "the export that would be replaced")


def _fetch(client: Client, name: str, made: ExportView, to: Path, *, quiet: bool) -> None:
    """Put an export in place of ``to``, whole or not at all."""
    with TemporaryDirectory() as temporary, progress(f"fetching {name}", quiet=quiet) as told:
        archive = client.download(name, Path(temporary) / "export.zip", made.id, told)
        with replacing(to.absolute()) as fresh, zipfile.ZipFile(archive) as packed:
            for member in packed.infolist():
                member.filename = PurePosixPath(member.filename).relative_to(name).as_posix()
                packed.extract(member, fresh)
