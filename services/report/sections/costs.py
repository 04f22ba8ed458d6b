"""What the study took."""

from __future__ import annotations

from convscout.services.config.units import format_clock
from convscout.services.report.document import Section, Table, Text
from convscout.services.report.facts import StudyFacts


def costs(known: StudyFacts) -> Section | None:
    """Time, epochs and images, by how trials ended."""
    if not known.view.records:
        return None
    rows = []
    for state in dict.fromkeys(str(record.state) for record in known.view.records):
        own = [record for record in known.view.records if str(record.state) == state]
        trained_s = sum(record.training_s for record in own)
        epochs = sum(len(record.measurements) for record in own)
        rows.append([state, f"{len(own):,}", f"{epochs:,}", format_clock(trained_s)])
    spent = (
        f"The study took {format_clock(known.ledger.spent_s)} in all, from reading images to writing files."
    )
    if known.splits is not None:
        seen = known.view.epochs * len(known.splits.train)
        spent += f" Its networks saw {seen:,} training images."
    formats = sorted(
        {measured.computed_in for record in known.view.records for measured in record.measurements}
    )
    if formats:
        spent += f" They computed in {', '.join(formats)}."
    columns = ["trials that were", "count", "epochs", "training, of all workers together"]
    return Section("What it took", [Text(spent), Table(columns=columns, rows=rows, right=columns[1:])])
