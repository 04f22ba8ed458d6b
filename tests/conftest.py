"""What every test process begins with: one thread to compute with, as a trial on a CPU has.

Two processes of one thread each beat one of two, and threads of several processes on the same cores wait for each
other up to ten times as long as they compute. Sums also come out in the same order wherever the tests run. A test
that is about threads asks for them itself.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # before torch is imported here, and for the processes that tests start

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # tests that run in the background of a shell ignore Ctrl-C, and so would the commands that they press it for
    signal.signal(signal.SIGINT, signal.default_int_handler)


END = "CONVSCOUT_TESTS_END"
"""Names when no slow test begins any more, in seconds since 1970."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules with the tests that may take longest come first, lest a worker be left alone with one at the end."""
    longest_s: dict[str, float] = {}
    for item in items:
        marker = item.get_closest_marker("timeout")
        longest_s[_module(item)] = max(longest_s.get(_module(item), 0.0), marker.args[0] if marker else 0.0)
    items.sort(key=lambda item: -longest_s[_module(item)])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Where CI's time is nearly over, what is left of the slow tests is skipped, and said to be."""
    if item.get_closest_marker("slow") and time.time() > float(os.environ.get(END, "inf")):
        pytest.skip("the time of this run is over; `make slow` runs it")


def _module(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


@pytest.fixture(scope="session", autouse=True)
def _mlflow_migrates_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The homes of tests get a copy of one migrated database, where MLflow would take a second to make each.

    So do processes that tests start, if they end their studies within ``bundle_alone``.
    """
    if sys.modules.keys().isdisjoint({"convscout.services.studies.run", "convscout.services.tracking.store"}):
        yield  # no test here needs MLflow, which takes seconds to import
        return
    from tests.support.mlflow_template import VARIABLE, mlflow_migrated_once

    template = str(tmp_path_factory.mktemp("mlflow") / "mlflow.db")
    with patch.dict(os.environ, {VARIABLE: template}), mlflow_migrated_once():
        yield


@pytest.fixture(scope="session", autouse=True)
def _machine_is_measured_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Studies of tests do not measure the machine anew for each home.

    Nor do processes that tests start, if they end their studies within ``bundle_alone``.
    """
    if "convscout.services.studies.run" not in sys.modules:
        yield
        return
    from tests.support.measured_machine import VARIABLE, machine_measured_once

    with (
        patch.dict(os.environ, {VARIABLE: str(tmp_path_factory.mktemp("machine"))}),
        machine_measured_once(),
    ):
        yield


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    from tests.support.browsing import ARGUMENTS, CHROMIUM

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    yield page
    page.close()
    assert not complaints
