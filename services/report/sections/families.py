"""What each family of architectures was given, and its best."""

from __future__ import annotations

from statistics import median

from convscout.services.config.units import format_clock, format_count
from convscout.services.report.document import Block, Section, Table
from convscout.services.report.facts import StudyFacts


def families(known: StudyFacts) -> Section | None:
    """A row a family, the best first."""
    if not known.ranking:
        return None
    rows = []
    for family in dict.fromkeys(record.family for record in known.ranking):
        own = [record for record in known.view.records if record.family == family]
        scored = [record for record in known.ranking if record.family == family]
        best = scored[0]
        middle = median(record.score for record in scored if record.score is not None)
        took_s = sum(record.training_s for record in own)
        rows.append(
            [
                family,
                str(best.number),
                known.score(best),
                best.quality.text(middle),
                format_count(best.complexity.params) if best.complexity else "",
                f"{len(own):,}",
                f"{sum(len(record.measurements) for record in own):,}",
                format_clock(took_s),
            ]
        )
    columns = ["family", "best trial", "best", "median", "parameters", "trials", "epochs", "training"]
    blocks: list[Block] = [Table(columns=columns, rows=rows, right=columns[1:])]
    blocks += known.plot("families", "Epochs given to each family, and its best score, over time")
    return Section("Families", blocks)
