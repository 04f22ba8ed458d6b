"""What was tried, in which order, and why each trial ended."""

from __future__ import annotations

from convscout.services.config.units import format_clock, format_count
from convscout.services.ledger.end_reasons import group_reasons
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.report.document import Block, Section, Table, Text
from convscout.services.report.facts import StudyFacts
from convscout.trials.config import TrialState

_MOST_ROWS = 60
_MOST_REASONS = 15
PLOTS = {
    "optimization-history": "Score of each trial and the best so far, by number and over time",
    "learning-curves": "Validation accuracy of each trial, epoch by epoch",
    "timeline": "When each worker trained which trial",
}


def search(known: StudyFacts) -> Section | None:
    """The trials in their order; of very many, the records and the best alone."""
    if not known.view.records:
        return None
    config = known.config
    did_not_fit = sum(record.did_not_fit for record in known.records)
    refused = sum(record.state is TrialState.REJECTED for record in known.records) - did_not_fit
    said = (
        f"The sampler {config.sampler} proposed candidates"
        + (", beginning with each family's proven network" if config.portfolio else "")
        + f"; the pruner {config.pruner} stopped those that fell behind. A full trial had {config.epochs} epochs."
    )
    if refused:
        said += f" {refused:,} proposals were refused before training."
    if did_not_fit:
        said += f" In the end {did_not_fit:,} did not fit into what was left of the budgets."
    blocks: list[Block] = [Text(said)]
    for name, says in PLOTS.items():
        blocks += known.plot(name, says)
    blocks.append(Text("Why trials and proposals ended:"))
    ended = group_reasons(known.records)[:_MOST_REASONS]
    reasons = [[group.text, f"{group.count:,}"] for group in ended]
    blocks.append(Table(columns=["reason", "trials"], rows=reasons, right=["trials"]))
    shown = _select_shown(known)
    if len(shown) < len(known.view.records):
        of = f"of {len(known.view.records):,}, in their order"
        blocks.append(Text(f"The {len(shown)} trials that set a record or were among the best, {of}:"))
    columns = ["trial", "family", "parameters", "epochs", known.view.quality.name, "took", "ended"]
    rows = [_row(known, record) for record in shown]
    blocks.append(
        Table(columns=columns, rows=rows, right=["trial", "parameters", "epochs", columns[4], "took"])
    )
    return Section("What was tried", blocks)


def _select_shown(known: StudyFacts) -> list[TrialRecord]:
    if len(known.view.records) <= _MOST_ROWS:
        return known.view.records
    records, best = set[int](), float("-inf")
    for record in known.view.scored:
        if record.utility > best:
            best = record.utility
            records.add(record.number)
    room = max(0, _MOST_ROWS - len(records))
    chosen = records | {record.number for record in known.ranking[:room]}
    return [record for record in known.view.records if record.number in chosen]


def _row(known: StudyFacts, record: TrialRecord) -> list[str]:
    planned = record.planned_epochs
    return [
        str(record.number),
        record.family,
        format_count(record.complexity.params) if record.complexity else "",
        f"{len(record.measurements)}/{planned}",
        known.score(record),
        format_clock(record.training_s),
        f"{record.state}" + (f": {record.reason}" if record.reason else ""),
    ]
