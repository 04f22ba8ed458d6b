"""The result: the ensemble, what it is worth, and what was made of it."""

from __future__ import annotations

from convscout.services.ensembles.ensemble import Ensemble
from convscout.services.evaluation.score_rows import gain_text
from convscout.services.events.wording import sentence
from convscout.services.report.document import Block, Section, Table, Text
from convscout.services.report.facts import StudyFacts
from convscout.services.studies.distilled import load_distilled
from convscout.services.studies.outcome import OPENINGS_NOTE


def ensemble(known: StudyFacts) -> Section | None:
    """Scores with their intervals, members and weights; the refitted and the distilled, if there are any."""
    outcome = known.outcome
    if outcome is None:
        return None
    columns = [
        "network",
        "images",
        "accuracy",
        "95 % interval",
        "log loss",
        "calibration error",
        "parameters",
        "latency",
    ]
    rows = [
        [
            row.name,
            f"{row.images:,} {row.split}",
            *row.cells,
            *row.cost_cells,
        ]
        for row in outcome.report
    ]
    blocks: list[Block] = [Table(columns=columns, rows=rows, right=columns[2:])]
    if outcome.gain and len(outcome.ensemble.members) > 1:
        gain = gain_text(outcome.gain, " over the best single network")
        blocks.append(Text(f"Gain of the ensemble on test images: {gain}."))
    if outcome.control_gain:
        gain = gain_text(outcome.control_gain, " over the control, the best known recipe alone")
        blocks.append(Text(f"Gain of the ensemble on test images: {gain}."))
    if outcome.refit_gain:
        gain = gain_text(outcome.refit_gain, " over the best single network")
        blocks.append(Text(f"Gain when it was refitted on all but the test images: {gain}."))
    blocks += [Text(sentence(text)) for text in outcome.corrections]
    openings = len(known.ledger.note(OPENINGS_NOTE) or [])
    blocks.append(
        Text(f"The test images were opened {'once' if openings == 1 else f'{openings} times'} in this study.")
    )
    blocks += _members(outcome.ensemble, known)
    blocks += _describe_student(known)
    return Section("What came of it", blocks)


def _members(chosen: Ensemble, known: StudyFacts) -> list[Block]:
    rows = []
    for member in sorted(chosen.members, key=lambda each: -each.weight):
        record = known.ledger.trial(member.number)
        rows.append(
            [
                str(member.number),
                record.family,
                member.network,
                member.view,
                f"{member.weight:.0%}",
                f"{member.temperature:.2f}",
                known.score(record),
            ]
        )
    columns = ["trial", "family", "network", "look", "weight", "temperature", "alone, on validation"]
    said = (
        f"Its members, selected by {chosen.strategy}: {chosen.reason}." if chosen.reason else "Its members:"
    )
    table = Table(columns=columns, rows=rows, right=["trial", *columns[4:]])
    return [Text(said), table]


def _describe_student(known: StudyFacts) -> list[Block]:
    found = load_distilled(known.ledger)
    if found is None:
        return []
    text = f"Distilled into one {found.family} of {found.params:,} parameters, trained for {found.epochs} epochs:"
    columns = ["network", "test accuracy", "95 % interval", "log loss", "calibration error"]
    rows = [[row.name, *row.cells] for row in found.rows]
    gains = [Text(f"The student against its twin: {gain_text(gain)}.") for gain in found.gains]
    return [Text(text), Table(columns=columns, rows=rows, right=columns[1:]), *gains]
