"""A document as Markdown, beside whose file its pictures lie."""

from __future__ import annotations

import re

from convscout.services.report.document import Block, Code, Document, Picture, Table, Text

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#])")


def to_markdown(document: Document) -> str:
    """What GitHub, MLflow and most editors show as it was meant."""
    parts = [f"# {_plain(document.title)}", *map(_block, document.lead)]
    for section in document.sections:
        parts += [f"## {_plain(section.title)}", *map(_block, section.blocks)]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    match block:
        case Text(text):
            return _plain(text)
        case Code(text):
            return "\n".join(f"    {line}".rstrip() for line in text.splitlines())
        case Picture():
            return f"![{_plain(block.says)}]({block.name})"
        case Table():
            return _table(block)


def _table(table: Table) -> str:
    rules = ["--:" if column in table.right else "---" for column in table.columns]
    rows = [[_plain(cell) for cell in row] for row in (table.columns, *table.rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (rows[0], rules, *rows[1:]))


def _plain(text: str) -> str:
    """Text that Markdown reads nothing into, whoever named a class or a study so."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
