"""Checking a study of this machine, and mending it: check."""

from __future__ import annotations

from collections.abc import Sequence

from convscout.services.cli.display import display
from convscout.services.cli.output import print_json, print_line
from convscout.services.config.study_ref import StudyRef
from convscout.services.studies.audits.finding import Finding, Remedy
from convscout.services.studies.check import check as find
from convscout.services.studies.repair import repair as mend


def check(ref: StudyRef, *, repair: bool, json: bool) -> bool:
    """Print what is wrong with a study, after its repair if that is asked for; returns whether nothing is wrong."""
    before: list[Finding] = []
    if repair:
        with display(quiet=json) as listener:
            before = mend(ref, listener)
    found = find(ref)  # a repair is believed when nothing is found any more
    mended = [each for each in before if not any(map(each.concerns, found))]
    if json:
        parts = {
            "findings": [each.to_dict() for each in found],
            "mended": [each.to_dict() for each in mended],
        }
        print_json({"study": ref.name, **parts})
    else:
        _tell(ref.name, found, mended, repaired=repair)
    return not found


def _tell(name: str, found: Sequence[Finding], mended: Sequence[Finding], *, repaired: bool) -> None:
    for each in mended:
        print_line(f"mended: {each.where}: {each.what}")
    for each in found:
        failed = repaired and each.remedy is not Remedy.NONE
        print_line(f"not mended: {each.where}: {each.what}" if failed else str(each))
    if not found:
        print_line(f"study {name} is as it should be")
    elif not repaired and any(each.remedy for each in found):
        print_line(f"mend it: convscout check {name} --repair")
