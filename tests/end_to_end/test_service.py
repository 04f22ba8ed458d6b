"""A newcomer's way through the service, with the real service, real studies, the real MLflow and a real browser.

``CONVSCOUT_SCREENSHOTS=DIR`` keeps pictures of the pages, wide and narrow, light and dark.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from convscout.services.config.home import Home
from convscout.services.studies.check import check
from tests.support.browsing import needs_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), needs_browser]

TOKEN = "token-of-the-end-to-end-test"
PATIENCE_MS = 300_000
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


class Service:
    """``convscout serve`` at one port, which may be killed and started again."""

    def __init__(self, home: Path) -> None:
        self._home = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Begin it, and wait until it answers."""
        words = ["serve", "--home", str(self._home), "--port", str(self.port), "--json"]
        with self._home.with_name("serve.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "convscout", *words],
                env={**os.environ, "CONVSCOUT_TOKEN": TOKEN},
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        assert json.loads(self._process.stdout.readline())["url"] == self.url

    def kill(self) -> None:
        """End it as a crash does."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    def end(self) -> None:
        """Ask it to end, which it must do with 0."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate(timeout=60)
        assert self._process.returncode == 0


@contextmanager
def _service(home: Path) -> Iterator[Service]:
    service = Service(home)
    service.start()
    try:
        yield service
        service.end()
    finally:
        service.kill()


@contextmanager
def _visitor(browser: Browser) -> Iterator[Page]:
    """A page of a visitor of its own; nothing may go wrong on ours, and MLflow's asks for things we do not offer."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)) if "/mlflow/" not in page.url else None)
    yield page
    context.close()
    assert not complaints


def test_from_sign_in_to_a_prediction(tmp_path: Path, browser: Browser) -> None:
    home = tmp_path / "home"
    with _service(home) as service, _visitor(browser) as page:
        _sign_in(page, service)
        _start_digits(page)
        _watch(page)
        _press(page, "Pause")
        _await_status(page, "paused")
        service.kill()
        service.start()
        page.goto(f"{service.url}/studies/first")  # the session outlives the service, too
        _await_status(page, "paused")
        _press(page, "Resume")
        _await_status(page, "running")
        service.kill()  # and so does the study
        trials = _trained(home)
        _until(lambda: _trained(home) > trials, "the study to go on without the service")
        service.start()
        page.reload()
        _await_status(page, "running")
        _enqueue(page)
        _await_status(page, "finished")
        _keep(page, "study")
        _to_mlflow_and_back(page, service)
        _keep(page, "trial")
        _export_within(page)
        _predict(page, tmp_path)
        _keep(page, "ensemble")
        page.goto(f"{service.url}/")
        _keep(page, "studies")
    assert check(Home(home).study("first")) == []


def _sign_in(page: Page, service: Service) -> None:
    page.goto(service.url)
    assert "/sign-in" in page.url
    page.get_by_label("Token").fill("not the token at all")
    page.get_by_role("button", name="Sign in").click()
    assert page.get_by_role("alert").inner_text()
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{service.url}/")


def _start_digits(page: Page) -> None:
    page.get_by_role("link", name="New study").first.click()
    page.get_by_label("Name", exact=True).fill("first one")
    page.get_by_label("Time", exact=True).fill("10m")
    page.get_by_label("Trials", exact=True).fill("6")
    page.get_by_text("Other budgets").click()
    page.get_by_label("Epochs", exact=True).fill("12")
    page.get_by_text("Families of networks").click()
    for family in ("lenet", "squeezenet"):
        page.get_by_role("checkbox", name=re.compile(rf"^{family}\b")).check()
    page.get_by_role("button", name="Start search").click()
    page.get_by_text("The study cannot begin like this").wait_for()
    assert page.get_by_label("Name", exact=True).get_attribute("aria-invalid") == "true"
    assert page.get_by_label("Trials", exact=True).input_value() == "6"  # nothing typed was lost
    page.get_by_label("Name", exact=True).fill("first")
    page.get_by_text("convscout search --study first").wait_for()  # the same as a command
    _keep(page, "new")
    page.get_by_role("button", name="Start search").click()
    page.wait_for_url("**/studies/first*")


def _watch(page: Page) -> None:
    _await_status(page, "running")
    rows = page.locator("#leaders tbody tr")
    rows.nth(1).wait_for(timeout=PATIENCE_MS)  # without loading the page again
    page.locator("#running").get_by_role("link").first.wait_for()
    _keep(page, "running")


def _enqueue(page: Page) -> None:
    page.get_by_text("Try a network of your own").click()
    page.get_by_label("Family", exact=True).select_option("lenet")
    knobs = page.get_by_label("Knobs, one a line")
    knobs.fill("lenet.width = a lot")
    page.get_by_role("button", name="Enqueue").click()
    assert "lenet.width" in page.locator("#wrong-enqueue").inner_text()
    page.get_by_label("Knobs, one a line").fill("recipe.batch_size = 64")
    page.get_by_role("button", name="Enqueue").click()
    page.get_by_text(re.compile("queued|next", re.IGNORECASE)).first.wait_for()


def _to_mlflow_and_back(page: Page, service: Service) -> None:
    page.locator("#leaders tbody tr").first.get_by_role("link").first.click()
    page.wait_for_url("**/trials/*")
    here, number = page.url, page.url.rpartition("/")[2]
    page.get_by_role("link", name="Open in MLflow").click()
    page.get_by_text(f"#{int(number):04d}").first.wait_for(timeout=PATIENCE_MS)
    page.goto(here)
    page.get_by_role("heading", level=1).wait_for()


def _export_within(page: Page) -> None:
    page.get_by_role("link", name="Ensemble").click()
    page.get_by_role("button", name="Find the front by parameters").click()
    slider = page.get_by_role("slider")
    slider.wait_for(timeout=PATIENCE_MS)
    slider.focus()
    page.keyboard.press("Home")
    cheapest = page.locator("#chosen").inner_text()
    page.keyboard.press("End")
    if slider.get_attribute("max") != "0":
        assert page.locator("#chosen").inner_text() != cheapest
    page.keyboard.press("Home")
    before = page.locator("#exports tbody tr").count()
    page.get_by_role("button", name="Export", exact=True).click()
    page.locator("#exports tbody tr").nth(before).wait_for(timeout=PATIENCE_MS)
    with page.expect_download() as download:
        page.locator("#exports tbody tr").last.get_by_role("link").click()
    assert download.value.suggested_filename.endswith(".zip")


def _predict(page: Page, tmp_path: Path) -> None:
    """Drop a three, as a person with a mouse does, and read what the ensemble says."""
    digits = load_digits()
    three = np.flatnonzero(digits.target == 3)[5]
    picture = tmp_path / "three.png"
    Image.fromarray((digits.images[three] * 15).astype(np.uint8)).save(picture)
    page.reload()
    transfer = page.evaluate_handle(
        """bytes => { const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], 'three.png', {type: 'image/png'})); return transfer }""",
        list(picture.read_bytes()),
    )
    page.locator("#drop").dispatch_event("drop", {"dataTransfer": transfer})
    answer = page.locator("#answer")
    answer.get_by_text(re.compile(r"\d+(\.\d+)?\s?%")).first.wait_for()
    assert re.search(r"\b3\b", answer.inner_text().split("%")[0])


def _press(page: Page, name: str) -> None:
    page.locator("#head").get_by_role("button", name=name, exact=True).click()


def _await_status(page: Page, status: str) -> None:
    page.locator("#head").get_by_text(status, exact=True).first.wait_for(timeout=PATIENCE_MS)


def _trained(home: Path) -> int:
    """How many epochs the journal knows of."""
    return (home / "studies" / "first" / "events.jsonl").read_text().count('"type": "epoch"')


def _until(found: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + PATIENCE_MS / 1000
    while not found():
        assert time.monotonic() < give_up, f"waited in vain for {what}"
        time.sleep(0.2)


def _keep(page: Page, name: str) -> None:
    """Pictures of the page as it is, if they are wanted."""
    directory = os.environ.get("CONVSCOUT_SCREENSHOTS")
    if not directory:
        return
    was = page.viewport_size
    for size, (width, height) in SIZES.items():
        for scheme in ("light", "dark"):
            page.set_viewport_size({"width": width, "height": height})
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(700)  # charts are drawn anew
            page.screenshot(path=Path(directory) / f"{name}-{size}-{scheme}.png", full_page=size == "desktop")
    page.emulate_media(color_scheme="light")
    if was:
        page.set_viewport_size(was)
