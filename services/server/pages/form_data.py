"""What a form sent, as text by field."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from fastapi import Depends, Request


class SentForm:
    """The fields of a form; a field that was sent several times has several values."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        self._fields = fields

    def all(self, name: str) -> list[str]:
        """Every value of a field that is not empty."""
        return [value for value in self._fields.get(name, []) if value]

    def one(self, name: str) -> str:
        """The value of a field without the space around it; empty where it was not filled in."""
        return next(iter(self._fields.get(name, [])), "").strip()


async def _sent(request: Request) -> SentForm:
    form = await request.form(max_files=0, max_fields=2000)
    fields: dict[str, list[str]] = {}
    for name, value in form.multi_items():
        if isinstance(value, str):
            fields.setdefault(name, []).append(value)
    return SentForm(fields)


Sent: TypeAlias = Annotated[SentForm, Depends(_sent)]
