"""What modules say of themselves, for people who choose between what is in them."""

from __future__ import annotations

import inspect


def summary_of(documented: object) -> str:
    """The first sentence of what the module says that ``documented`` stands in."""
    return documentation_of(documented).partition("\n")[0]


def documentation_of(documented: object) -> str:
    """What the module says that ``documented`` stands in, or else ``documented`` itself: a paragraph a line."""
    module = inspect.getmodule(documented)
    text = inspect.cleandoc((module and module.__doc__) or documented.__doc__ or "").replace("``", "")
    return "\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def about(documented: object) -> str:
    """What a thing of its own file is, without its name in front."""
    summary = summary_of(documented)
    return summary.partition(": ")[2] or summary
