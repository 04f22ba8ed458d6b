"""A document as one HTML file that needs nothing beside it: no script, no network."""

from __future__ import annotations

import base64
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from convscout.services.report.document import Document, Picture


def to_html(document: Document) -> str:
    """A page that is readable on a phone and on paper, light and dark."""
    return _template().render(document=document)


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("convscout.services.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"kind": lambda block: type(block).__name__.lower(), "data_url": _data_url}
    return environment.get_template("story.html")


def _data_url(picture: Picture) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.png).decode()
