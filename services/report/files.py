"""Where the story of a study is written: a page that holds all it shows, and Markdown with its pictures beside it."""

from __future__ import annotations

import re
from pathlib import Path

from convscout.services.config.study_ref import StudyRef

PAGE, MARKDOWN = "report.html", "report.md"


def story_directory(ref: StudyRef) -> Path:
    """Where it lies unless a person wants it elsewhere."""
    return ref.directory / "story"


def write_files(directory: Path) -> set[str]:
    """The files of an earlier story in ``directory``: its pictures are those that its Markdown shows."""
    told = directory / MARKDOWN
    if not (directory / PAGE).is_file() or not told.is_file():
        return set()
    pictures = re.findall(r"]\(([^/()]+\.png)\)", told.read_text(encoding="utf-8", errors="replace"))
    return {PAGE, MARKDOWN, *pictures}
