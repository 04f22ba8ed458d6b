"""The export of a study: whether it is complete, whole, and that of the ensemble in the ledger."""

from __future__ import annotations

from collections.abc import Iterator

from convscout.search_space.errors import ConvscoutError
from convscout.services.export.checksums import listed_files
from convscout.services.export.formats.bundle import load_bundle
from convscout.services.export.onnx_model import MODEL_FILE
from convscout.services.export.writer import default_formats
from convscout.services.studies.audits.finding import Finding, Remedy
from convscout.services.studies.outcome import Outcome


def audit_export(outcome: Outcome) -> Iterator[Finding]:
    """What is wrong with the export of what a study came to."""
    try:
        exported = load_bundle(outcome.export)
        missing = "onnx" in default_formats() and MODEL_FILE not in listed_files(outcome.export)
    except ConvscoutError as error:
        yield Finding(where="export", what=error.message.partition(";")[0], remedy=Remedy.EXPORT)
        return
    if missing:
        yield Finding(where="export", what=f"has no {MODEL_FILE}", remedy=Remedy.EXPORT)
    members = {member.name: member.weight for member in exported.members}
    expected = {member.name: member.weight for member in outcome.ensemble.members}
    if members != expected or exported.temperature != outcome.ensemble.temperature:
        what = f"holds the trials {_list(members)}, but the ledger's ensemble is {_list(expected)}"
        yield Finding(where="export", what=what, remedy=Remedy.EXPORT)


def _list(members: dict[str, float]) -> str:
    return ", ".join(f"{name} ({weight:.0%})" for name, weight in members.items())
