"""The surroundings of a search on this machine: ui, doctor, migrate."""

from __future__ import annotations

from convscout.services.cli.output import print_json, print_line
from convscout.services.config.home import Home
from convscout.services.ledger.database import open_storage, shown
from convscout.services.studies.diagnosis import Diagnosis, Status
from convscout.services.studies.doctor import examine
from convscout.services.tracking.ui import open_ui


def ui(home: Home, *, port: int) -> None:
    """Show MLflow's user interface in a browser until Ctrl-C."""
    open_ui(home, port=port)


def doctor(home: Home, *, port: int, json: bool) -> bool:
    """Examine this machine and print what was found; returns whether nothing failed."""
    findings = examine(home, port=port)
    if json:
        print_json([finding.to_dict() for finding in findings])
    else:
        for finding in findings:
            _tell(finding)
    return all(finding.status is not Status.FAIL for finding in findings)


def migrate(home: Home) -> None:
    """Bring the ledger of the home to the present schema."""
    if not home.has_ledger:
        print_line(f"there is no ledger under {home.root} yet")
        return
    open_storage(home, confirmed=True)
    print_line(f"the ledger {shown(home)} has the present schema")


def _tell(finding: Diagnosis) -> None:
    print_line(f"{finding.status:<4}  {finding.subject}: {finding.text}")
    if finding.mend:
        print_line(f"      → {finding.mend}")
