"""What a registered model says of itself: the model card of its export, within what MLflow stores."""

from __future__ import annotations

from pathlib import Path

from convscout.services.export.model_card import CARD_FILE
from convscout.services.tracking.urls import study_page

_LONGEST = 5000  # characters: the column of a database that is not SQLite takes no more
_REST = "\n\n… the whole card is `README.md` among the artifacts of this version."


def model_description(study: str, export: Path) -> str:
    """The card of ``export`` as Markdown, if it has one, below a link to the study's page."""
    head = f"[Study {study}]({study_page(study)}) in `convscout serve`"
    file = export / CARD_FILE
    if not file.exists():
        return head
    return _shorten(f"{head}\n\n{_without_front_matter(file.read_text(encoding='utf-8'))}")


def _without_front_matter(card: str) -> str:
    """Without the block of YAML at its head, which is for model hubs."""
    if not card.startswith("---\n"):
        return card
    return card.partition("\n---\n")[2].lstrip("\n") or card


def _shorten(text: str) -> str:
    """As many whole lines as there is room for."""
    if len(text) <= _LONGEST:
        return text
    kept = text[: _LONGEST - len(_REST)]
    return kept[: kept.rindex("\n")].rstrip() + _REST
