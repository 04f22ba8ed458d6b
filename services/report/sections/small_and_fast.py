"""The small-and-fast corner: for who has little room or time."""

from __future__ import annotations

from convscout.services.config.units import format_count
from convscout.services.ledger.ranking import pareto_front
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.report.document import Block, Code, Picture, Section, Table, Text
from convscout.services.report.facts import StudyFacts

_MOST = 12


def small_and_fast(known: StudyFacts) -> Section | None:
    """The trials that no other beats in accuracy, parameters and multiply-adds at once."""
    front = select_undominated(known.ranking)[:_MOST]
    if not front:
        return None
    rows = []
    for record in front:
        assert record.complexity is not None
        rows.append(
            [
                str(record.number),
                record.family,
                known.score(record),
                format_count(record.complexity.params),
                format_count(record.complexity.flops),
            ]
        )
    columns = ["trial", "family", known.view.quality.name, "parameters", "multiply-adds"]
    text = "Single networks that no other equals or beats in score, parameters and multiply-adds at once:"
    blocks: list[Block] = [
        Text(text),
        Table(columns=columns, rows=rows, right=["trial", *columns[2:]]),
    ]
    blocks += known.plot("pareto-front", "Score of each trial against what it costs")
    for path in sorted((known.ref.directory / "plots").glob("ensemble-front-*.png")):
        says = f"The best ensembles by {path.stem.rpartition('-')[2]}"
        blocks.append(Picture(name=path.name, png=path.read_bytes(), says=says))
    blocks += [
        Text("Smaller ensembles, and one small network that answers as the ensemble does:"),
        Code(
            f"convscout ensemble {known.name} --front\nconvscout distil {known.name} --max-params 300k --to small"
        ),
    ]
    return Section("Small and fast", blocks)


def select_undominated(records: list[TrialRecord]) -> list[TrialRecord]:
    """Those of ``records``, the best first, that no other equals in score and both costs while it beats it in one."""
    first: dict[tuple[float, ...], TrialRecord] = {}
    for record in records:
        assert record.complexity is not None
        first.setdefault((record.utility, -record.complexity.params, -record.complexity.flops), record)
    points = list(first)
    return [first[points[index]] for index in pareto_front(points)]
