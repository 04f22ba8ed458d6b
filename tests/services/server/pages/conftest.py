"""Fixtures of tests of pages: a home with studies in it, and a service over it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from benchmarks.large_study import write_large_study
from convscout.services.config.home import Home
from convscout.services.studies import run
from tests.support import service
from tests.support.signed_in import DONE, LARGE, LARGE_TRIALS
from tests.support.studies import quiet, tiny_config

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a study that has ended with all it leaves behind, and one of many trials that was killed."""
    root = tmp_path_factory.mktemp("pages") / "home"
    config = tiny_config(DONE, trials=4, epochs=2, space={"recipe.batch_size": 256})
    run.search(config, Home(root), quiet, time.time())
    write_large_study(Home(root), LARGE, LARGE_TRIALS)
    return root


@pytest.fixture(scope="session")
def pages(home: Path) -> Iterator[str]:
    """Where the service over it answers."""
    with service.service_at(home) as address:
        yield address


@pytest.fixture
def client(pages: str) -> Iterator[httpx.Client]:
    """A client that signed in as a browser does."""
    with service.signed_in(pages) as client:
        yield client


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that knows nothing yet."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    context.close()


@pytest.fixture
def tab(context: BrowserContext, pages: str) -> Iterator[Page]:
    """A page of a browser that has signed in, which must complain of nothing."""
    page, complaints = context.new_page(), list[str]()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if _is_fault(said) else None)
    page.goto(f"{pages}/sign-in#token={service.TOKEN}")
    page.wait_for_url(f"{pages}/")
    yield page
    assert not complaints


def _is_fault(said: ConsoleMessage) -> bool:
    """Whether the page did something wrong; that what was asked for is refused with 422 is not its fault."""
    return said.type == "error" and "status of 422" not in said.text
