"""What a page says about what was just asked for, after the redirect that answers a form."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlencode

from starlette.responses import RedirectResponse

TEXTS: Mapping[str, str] = {
    "created": "The study waits for its turn and begins by itself.",
    "paused": "The study pauses once each running trial has ended its epoch.",
    "resumed": "The study waits for its turn and goes on where it was.",
    "stopped": "The study ends; every finished epoch is kept.",
    "extended": "The study was granted more.",
    "enqueued": "Your trial is the next of the study.",
    "prioritised": "The priority was changed.",
    "retried": "The trial goes on when its study runs and a worker is free.",
    "trial-stopped": "The trial ends with its present epoch.",
    "uploaded": "The dataset is ready to be used.",
    "deleted": "The study was deleted; below it can be brought back.",
    "dataset-deleted": "The dataset was deleted.",
    "restored": "The study is back.",
}


def see(path: str, notice: str) -> RedirectResponse:
    """Lead to ``path``, which then says the text called ``notice``."""
    return RedirectResponse(f"{path}?{urlencode({'said': notice})}", HTTPStatus.SEE_OTHER)


def text_of(notice: str | None) -> str:
    """The text called ``notice``; empty for what is none."""
    return TEXTS.get(notice or "", "")
