"""Drawing a study of this machine: plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convscout.search_space.errors import UserError
from convscout.services.cli.output import print_json, print_line
from convscout.services.config.study_ref import StudyRef
from convscout.services.ledger.ledger import Ledger
from convscout.services.plotting.writing import write_plots, write_table


def plot(ref: StudyRef, kinds: Sequence[str], output: Path | None, *, json: bool) -> None:
    """Write the plots of these ``kinds``, or all of them and the table of trials."""
    records, target = Ledger.open(ref).trials(), (output or ref.directory / "plots").absolute()
    try:
        written = write_plots(ref.name, records, target, kinds)
        if not kinds:
            written.append(write_table(records, target))
    except OSError as error:
        raise UserError(
            f"--output: {target} cannot be written ({error.strerror}); choose another one"
        ) from None
    if json:
        print_json({"study": ref.name, "files": [str(path) for path in written]})
        return
    for path in written:
        print_line(str(path))
    if not written:
        print_line(f"study {ref.name} has too few trials for that yet")
