"""Pages in a real browser: what is typed is checked and kept, what runs is seen running, what fits is chosen."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.support.browsing import needs_browser
from tests.support.signed_in import DONE, LARGE

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = needs_browser


def test_the_form_shows_the_same_as_a_command_and_says_what_is_wrong(tab: Page, pages: str) -> None:
    from playwright.sync_api import expect

    tab.goto(f"{pages}/new")
    tab.get_by_label("Name", exact=True).fill("mine")
    tab.get_by_label("Trials", exact=True).fill("12")
    expect(tab.get_by_label("Command", exact=True)).to_contain_text(
        "--study mine --data digits --trials 12 --time 10m"
    )
    tab.get_by_label("Time", exact=True).fill("soon")
    expect(tab.locator("#wrong-time_s")).to_contain_text("duration")
    expect(tab.get_by_label("Time", exact=True)).to_have_attribute("aria-invalid", "true")
    tab.get_by_label("Time", exact=True).fill("2m")
    expect(tab.locator("#wrong-time_s")).to_have_count(0)
    tab.get_by_text("Families of networks").click()
    tab.get_by_role("checkbox", name="nin", exact=True).check()
    expect(tab.get_by_label("Command", exact=True)).to_contain_text("--families nin")


def test_what_was_typed_is_still_there_after_an_error(tab: Page, pages: str) -> None:
    from playwright.sync_api import expect

    tab.goto(f"{pages}/new")
    tab.get_by_label("Name", exact=True).fill(DONE)
    tab.get_by_label("Time", exact=True).fill("77s")
    tab.get_by_text("Limits: what a network may cost").click()
    tab.get_by_label("Max params", exact=True).fill("300k")
    with tab.expect_response(
        lambda answer: answer.request.method == "POST" and answer.url == f"{pages}/new"
    ) as got:
        tab.get_by_role("button", name="Start search").click()
    assert got.value.status == 422
    expect(tab.locator("#problems")).to_be_focused()
    expect(tab.get_by_label("Name", exact=True)).to_have_value(DONE)
    expect(tab.get_by_label("Time", exact=True)).to_have_value("77s")
    expect(tab.locator("#f-max_params")).to_have_value("300k")


@pytest.mark.slow
def test_a_study_is_started_by_the_form_and_watched_to_its_end(tab: Page, pages: str) -> None:
    from playwright.sync_api import expect

    tab.goto(f"{pages}/new")
    tab.get_by_label("Name", exact=True).fill("live")
    tab.get_by_label("Time", exact=True).fill("")
    tab.get_by_label("Trials", exact=True).fill("3")
    for group in ("Families of networks", "Other budgets", "Machine: what the study may use", "Design space"):
        tab.get_by_text(group).click()
    tab.get_by_role("checkbox", name="lenet", exact=True).check()
    tab.get_by_label("Epochs", exact=True).fill("2")
    tab.get_by_label("Executor").select_option("in-process")
    tab.get_by_label("Threads").fill("1")
    tab.get_by_label("Knobs").fill("lenet.width = 4\nrecipe.batch_size = 256")
    tab.get_by_role("button", name="Start search").click()
    tab.wait_for_url(re.compile("/studies/live"))
    tab.evaluate("window.stayed = true")
    expect(tab.get_by_role("region", name="Leaderboard").get_by_role("row")).to_have_count(4, timeout=240_000)
    expect(tab.locator("#head .badge")).to_have_text("finished", timeout=240_000)
    expect(tab.locator("#curves-says")).to_contain_text("3 trials", timeout=30_000)
    expect(tab.locator("#announcer")).to_contain_text("live is finished")
    assert tab.evaluate("window.stayed")  # nothing was loaded anew


def test_charts_are_drawn_and_have_words(tab: Page, pages: str) -> None:
    from playwright.sync_api import expect

    tab.goto(f"{pages}/studies/{LARGE}")
    expect(tab.locator("#curves-says")).to_contain_text("of 130 trials")
    expect(tab.locator("#costs-says")).to_contain_text("judged trials")
    expect(tab.locator("#knobs-says")).to_contain_text("PED-ANOVA", timeout=60_000)
    expect(tab.locator("#timeline-says")).to_contain_text("130 trials")
    for chart in ("curves", "costs", "knobs", "best", "timeline"):
        drawn = tab.evaluate(
            "(id) => { const c = document.getElementById(id);"
            " return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v) }",
            chart,
        )
        assert drawn, chart
    tab.get_by_label("Cost", exact=True).select_option("training_s")
    tab.get_by_text("The trials that none surpasses, as a table").click()
    table = tab.get_by_role("region", name="Trials that none surpasses")
    expect(table.get_by_role("columnheader", name="training time (s)")).to_be_visible()


def test_typing_is_not_disturbed_by_what_is_refreshed(tab: Page, pages: str) -> None:
    from playwright.sync_api import expect

    tab.goto(f"{pages}/studies/{LARGE}")
    tab.get_by_text("Try a network of your own").click()
    tab.get_by_label("Knobs, one a line").fill("resnet.width = 32")
    with tab.expect_event(
        "response", lambda answer: answer.url == f"{pages}/studies/{LARGE}", timeout=30_000
    ):
        pass
    tab.wait_for_timeout(300)
    expect(tab.get_by_label("Knobs, one a line")).to_have_value("resnet.width = 32")


@pytest.fixture
def digit(tmp_path: Path) -> Path:
    """A picture of a zero, as a person would draw it."""
    across, down = np.meshgrid(np.linspace(-1, 1, 64), np.linspace(-1, 1, 64))
    ring = np.abs(np.hypot(across / 0.5, down / 0.8) - 1) < 0.3
    path = tmp_path / "zero.png"
    buffer = io.BytesIO()
    Image.fromarray((255 * ring).astype(np.uint8)).save(buffer, format="PNG")
    path.write_bytes(buffer.getvalue())
    return path


@pytest.mark.slow
def test_an_ensemble_is_chosen_by_slider_and_tried_on_a_picture(tab: Page, pages: str, digit: Path) -> None:
    from playwright.sync_api import expect

    tab.goto(f"{pages}/studies/{DONE}/ensemble")
    expect(tab.get_by_role("region", name="Members of the ensemble")).to_be_visible()
    tab.get_by_role("button", name="Find the front by parameters").click()
    slider = tab.get_by_role("slider", name="The most you can afford")
    expect(slider).to_be_visible(timeout=120_000)
    slider.focus()
    tab.keyboard.press("Home")
    cheapest = int(tab.get_by_label("Most parameters").input_value())
    expect(slider).to_have_attribute("aria-valuetext", re.compile("parameters, accuracy"))
    tab.keyboard.press("End")
    assert int(tab.get_by_label("Most parameters").input_value()) >= cheapest
    tab.get_by_label("Drop a picture here, or choose one").set_input_files(digit)
    answers = tab.get_by_role("list", name="Probabilities").get_by_role("listitem")
    expect(answers).to_have_count(5, timeout=60_000)
    shares = [float(re.findall(r"([\d.]+) %", each)[0]) for each in answers.all_inner_texts()]
    assert shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 100.1


def test_a_picture_that_is_none_is_told(tab: Page, pages: str, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    fake = tmp_path / "fake.png"
    fake.write_bytes(b"no picture")
    tab.goto(f"{pages}/studies/{DONE}/ensemble")
    tab.get_by_label("Drop a picture here, or choose one").set_input_files(fake)
    expect(tab.locator("#answer .wrong")).not_to_be_empty()


def test_a_dataset_is_uploaded_looked_at_and_deleted(tab: Page, pages: str, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    rng = np.random.default_rng(0)
    path = tmp_path / "two.npz"
    labels = np.arange(60) % 2
    images = (rng.integers(0, 60, (60, 12, 12)) + 150 * labels[:, None, None]).astype(np.uint8)
    np.savez(path, x_train=images[:40], y_train=labels[:40], x_test=images[40:], y_test=labels[40:])
    tab.goto(f"{pages}/datasets")
    tab.get_by_label("Name", exact=True).fill("two-kinds")
    tab.get_by_label("File").set_input_files(path)
    tab.get_by_role("button", name="Upload").click()
    tab.wait_for_url(re.compile("said=uploaded"), timeout=60_000)
    tab.get_by_role("link", name="two-kinds", exact=True).click()
    expect(tab.locator("#found img")).to_be_visible()
    tab.goto(f"{pages}/datasets")
    tab.get_by_role("button", name="Delete two-kinds").click()
    expect(tab.get_by_role("link", name="two-kinds", exact=True)).to_have_count(0)
