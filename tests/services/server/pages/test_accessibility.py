"""axe-core finds no serious fault on any page, in light and dark, on a desk and on a phone."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from tests.support import service
from tests.support.browsing import needs_browser
from tests.support.places import ROOT
from tests.support.signed_in import EVERY_PAGE
from tests.support.soaking import repetitions

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [needs_browser, pytest.mark.slow]
PAIRS = list(itertools.product(("light", "dark"), (390, 1280)))
AXE = ROOT / "tests" / "vendor" / "axe-core" / "axe.min.js"


def faults(page: Page) -> list[str]:
    """What axe-core calls serious or critical, and where."""
    # what comes by DevTools is not stopped by the page's policy
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


# colours go by the scheme and places by the width, so each once says nearly all
@pytest.mark.soak
@pytest.mark.parametrize(
    ("scheme", "width"),
    repetitions(PAIRS[1:3], PAIRS),
)
def test_no_page_has_a_serious_fault(browser: Browser, pages: str, scheme: str, width: int) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{pages}/sign-in")
    found = {"/sign-in": faults(page)}
    page.goto("about:blank")
    page.goto(f"{pages}/sign-in#token={service.TOKEN}")
    page.wait_for_url(f"{pages}/")
    for path in EVERY_PAGE:
        page.goto(f"{pages}{path}")
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
        page.wait_for_load_state("networkidle") if "events" not in page.content() else page.wait_for_timeout(
            1500
        )
        found[path] = faults(page)
        overflow = page.evaluate("document.documentElement.scrollWidth") - width
        if overflow > 0:
            found[path].append(f"is {overflow} pixels wider than the window")
    context.close()
    assert {path: wrong for path, wrong in found.items() if wrong} == {}
