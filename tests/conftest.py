"""What every test process begins with: one thread to compute with, as a trial on a CPU has.

Two processes of one thread each beat one of two, and threads of several processes on the same cores wait for each
other up to ten times as long as they compute. Sums also come out in the same order wherever the tests run. A test
that is about threads asks for them itself.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from unittest.mock import patch

import pytest

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # before torch is imported here, and for the processes that tests start

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # tests that run in the background of a shell ignore Ctrl-C, and so would the commands that they press it for
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules with the tests that may take longest come first, lest a worker be left alone with one at the end."""
    longest_s: dict[str, float] = {}
    for item in items:
        marker = item.get_closest_marker("timeout")
        longest_s[_module(item)] = max(longest_s.get(_module(item), 0.0), marker.args[0] if marker else 0.0)
    items.sort(key=lambda item: -longest_s[_module(item)])


def _module(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


@pytest.fixture(scope="session", autouse=True)
def _mlflow_migrates_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The homes of tests get a copy of one migrated database, where MLflow would take a second to make each.

    Processes that tests start make their own.
    """
    if sys.modules.keys().isdisjoint({"services.runner", "services.tracking.store"}):
        yield  # no test here needs MLflow, which takes seconds to import
        return
    from tests.services.mlflow_template import Template

    with patch("services.tracking.store._make", Template(tmp_path_factory.mktemp("mlflow") / "mlflow.db")):
        yield


@pytest.fixture(scope="session", autouse=True)
def _machine_is_measured_once() -> Iterator[None]:
    """Studies of tests do not measure the machine anew for each home; processes that tests start do."""
    if "services.runner" not in sys.modules:
        yield
        return
    from tests.services.measured_machine import machine_measured_once

    with machine_measured_once():
        yield
