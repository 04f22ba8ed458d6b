"""The page at the root: which classes the model knows and which routes there are."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

_FORM = """<form method="post" action="/predict" enctype="multipart/form-data">
<input type="file" name="picture" accept=".png,.jpg,.jpeg,.webp,.bmp" required> <button>Classify</button></form>"""


def page(about: Mapping[str, Any], *, form: bool) -> str:
    """``about`` as HTML without scripts; with a ``form`` to try a picture where no token is asked for."""
    classes = ", ".join(map(escape, about["classes"]))
    routes = "".join(
        f"<li><code>{escape(route)}</code> {escape(text)}</li>" for route, text in about["routes"].items()
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>convscout</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body {{ font: 16px/1.5 sans-serif; max-width: 44em; margin: 2em auto; padding: 0 1em }}</style></head>
<body><h1>convscout</h1>
<p>An ensemble that knows {len(about["classes"])} classes: {classes}.</p>
{_FORM if form else ""}
<ul>{routes}</ul></body></html>
"""
