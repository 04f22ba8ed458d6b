"""The report of a study of this machine: report."""

from __future__ import annotations

from pathlib import Path

from convscout.services.cli.display import display
from convscout.services.cli.output import print_json, print_line
from convscout.services.config.study_ref import StudyRef
from convscout.services.report.story import write_story


def report(ref: StudyRef, output: Path | None, *, json: bool) -> None:
    """Write the report of a study, and print where its pages are."""
    with display(quiet=json) as listener:
        written = write_story(ref, output, listener)
    if json:
        print_json({"study": ref.name, "files": [str(path) for path in written]})
        return
    for path in written[:2]:
        print_line(str(path))
