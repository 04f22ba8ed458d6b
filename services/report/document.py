"""A document: titles, text, tables and pictures, whatever they are written as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TypeAlias

from matplotlib.figure import Figure

_DPI = 100


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Code:
    """Lines to copy."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells under ``columns``, of which ``right`` names those of numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A PNG, whose file is called ``name``; ``says`` tells it to who cannot see it."""

    name: str
    png: bytes
    says: str


Block: TypeAlias = Text | Code | Table | Picture


@dataclass(frozen=True)
class Section:
    """A part of a document under a ``title``."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, kw_only=True)
class Document:
    """A whole: its ``lead`` says what came of it before the ``sections`` tell how."""

    title: str
    lead: Sequence[Block]
    sections: Sequence[Section]

    @property
    def pictures(self) -> list[Picture]:
        """All of them, in their order."""
        parts = [self.lead, *(section.blocks for section in self.sections)]
        return [block for blocks in parts for block in blocks if isinstance(block, Picture)]


def draw(figure: Figure, name: str, says: str) -> Picture:
    """``figure`` as a picture."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return Picture(name=f"{name}.png", png=buffer.getvalue(), says=says)
