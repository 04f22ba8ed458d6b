"""The page classifies a real picture in a headless Chromium as the exported model does, and tells what went wrong."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from convscout.search_space.errors import ExportError
from convscout.services.ensembles.trained import TrainedEnsemble
from convscout.services.export.formats import web
from convscout.services.export.onnx_model import ExportedModel
from convscout.services.export.writer import export
from tests.support.browsing import needs_browser
from tests.support.file_server import files_served
from tests.support.trained_ensembles import random_images, trained_ensemble

VIEWPORTS = {"desktop": (1100, 800), "phone": (360, 740)}

needs_npm = pytest.mark.skipif(
    shutil.which("npm") is None, reason="there is no npm, which fetches onnxruntime-web"
)


def photo(path: Path) -> Path:
    """A photograph (scikit-learn's flower) as PNG, larger than what the page hands over."""
    from sklearn.datasets import load_sample_image

    Image.fromarray(load_sample_image("flower.jpg")).save(path)
    return path


def exported(ensemble: TrainedEnsemble, directory: Path) -> Path:
    found = export(ensemble, directory, random_images(40, ensemble), formats=["onnx", "web"])
    if "web" in found.left_out and "cannot fetch" in found.left_out["web"]:
        pytest.skip(found.left_out["web"])
    assert not found.left_out
    return directory


@pytest.fixture(scope="module")
def ensemble() -> TrainedEnsemble:
    return trained_ensemble("lenet", "resnet")


@pytest.fixture(scope="module")
def directory(ensemble: TrainedEnsemble, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(ensemble, tmp_path_factory.mktemp("web") / "export")


@pytest.fixture(scope="module")
def address(directory: Path) -> Iterator[str]:
    with files_served(directory / "web") as address:
        yield address


def answers(page: Page) -> dict[str, float]:
    expect(page.locator("#result")).to_be_visible(timeout=60_000)
    rows = page.locator("#top li").all()
    return {
        row.locator(".name").inner_text(): float(row.get_attribute("data-probability") or 0) for row in rows
    }


def expected(directory: Path, pixels: np.ndarray) -> dict[str, float]:
    model = ExportedModel(directory / "model.onnx")
    (said,) = model.probabilities(pixels[np.newaxis])
    return dict(zip(model.class_names, map(float, said), strict=True))


@needs_browser
@needs_npm
@pytest.mark.slow
@pytest.mark.timeout(600)
class TestInTheBrowser:
    def test_a_photograph_is_classified_as_by_the_exported_model(
        self, page: Page, address: str, directory: Path, tmp_path: Path
    ) -> None:
        picture = photo(tmp_path / "flower.png")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.set_input_files("#picture", picture, timeout=60_000)
        said = answers(page)
        assert said == pytest.approx(expected(directory, np.asarray(Image.open(picture))), abs=1e-3)
        assert list(said.values()) == sorted(said.values(), reverse=True)
        assert "<img onerror>" in said  # a class of that name is text
        expect(page.locator("#status")).to_contain_text("flower.png: ")
        assert all(url.startswith((address, "blob:", "data:")) for url in asked)

    def test_one_that_is_too_large_is_shrunk_and_transparency_is_white(
        self, page: Page, address: str, directory: Path, tmp_path: Path
    ) -> None:
        Image.new("RGBA", (3000, 1500), (200, 30, 60, 128)).save(tmp_path / "large.png")
        page.goto(address)
        page.set_input_files("#picture", tmp_path / "large.png", timeout=60_000)
        laid = Image.new("RGBA", (1024, 512), "white")
        laid.alpha_composite(Image.new("RGBA", (1024, 512), (200, 30, 60, 128)))
        assert answers(page) == pytest.approx(expected(directory, np.asarray(laid.convert("RGB"))), abs=5e-3)

    def test_what_is_no_picture_is_told_and_the_next_is_answered(
        self, page: Page, address: str, tmp_path: Path
    ) -> None:
        (tmp_path / "notes.png").write_text("no picture")
        page.goto(address)
        page.set_input_files("#picture", tmp_path / "notes.png", timeout=60_000)
        expect(page.locator("#problem")).to_contain_text("notes.png cannot be read as a picture")
        page.set_input_files("#picture", photo(tmp_path / "flower.png"))
        answers(page)
        expect(page.locator("#problem")).to_be_hidden()

    def test_the_keyboard_reaches_it(self, page: Page, address: str) -> None:
        # Chromium is told to hand over its dialogues before there is a page: told in the moment in which the key
        # is pressed, it may hear of the key first, and opens a dialogue that nobody sees
        with page.expect_file_chooser(timeout=120_000):
            page.goto(address)
            expect(page.locator("#status")).to_have_text("Ready.", timeout=60_000)
            page.keyboard.press("Tab")
            expect(page.get_by_label("Choose a picture")).to_be_focused()
            page.keyboard.press("Space")

    def test_opened_as_a_file_it_says_what_to_do(self, browser: Browser, directory: Path) -> None:
        page = browser.new_page()
        page.goto((directory / "web" / "index.html").as_uri())
        expect(page.get_by_text("python -m http.server")).to_be_visible(timeout=10_000)
        page.close()

    def test_grey_pictures(self, page: Page, tmp_path: Path) -> None:
        grey = trained_ensemble("lenet", channels=1, image_size=8)
        directory = exported(grey, tmp_path / "export")
        picture = photo(tmp_path / "flower.png")
        with files_served(directory / "web") as address:
            page.goto(address)
            page.set_input_files("#picture", picture, timeout=60_000)
            pixels = np.asarray(Image.open(picture).convert("L"))[..., np.newaxis]
            assert answers(page) == pytest.approx(expected(directory, pixels), abs=1e-3)

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("viewport", list(VIEWPORTS))
    def test_nothing_runs_over_the_edge(
        self, browser: Browser, address: str, tmp_path: Path, scheme: str, viewport: str
    ) -> None:
        width, height = VIEWPORTS[viewport]
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        page.goto(address)
        page.set_input_files("#picture", photo(tmp_path / "flower.png"), timeout=60_000)
        answers(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if folder := os.environ.get("CONVSCOUT_SCREENSHOTS"):
            page.screenshot(path=f"{folder}/web-{viewport}-{scheme}.png", full_page=True)
        page.close()


# fetching onnxruntime-web


def fake_npm(directory: Path, script: str) -> None:
    directory.mkdir()
    (directory / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (directory / "npm").chmod(0o755)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, "there is no npm; install Node.js, or export without web"),
        (
            "echo 'code ENOTFOUND' >&2; exit 1",
            r"npm cannot fetch onnxruntime-web@.* \(code ENOTFOUND\); connect",
        ),
        ("echo forged > onnxruntime-web.tgz", "is not what it should be: its hash is not sha512-"),
    ],
)
def test_without_its_runtime_the_rest_is_exported(
    ensemble: TrainedEnsemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, said: str
) -> None:
    if script:
        fake_npm(tmp_path / "bin", script)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin" if script else str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(ExportError, match=said):
        web._fetch(web._cache())
    assert not list(tmp_path.rglob("*.tgz"))


def test_a_package_that_was_damaged_in_the_cache_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / f"{web.PACKAGE.replace('@', '-')}.tgz").write_bytes(b"damaged")
    with pytest.raises(ExportError, match="there is no npm"):
        web._fetch(cache)


@needs_npm
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_page_is_part_of_what_is_hashed(directory: Path, ensemble: TrainedEnsemble) -> None:
    listed = (directory / "SHA256SUMS").read_text()
    assert all(f"  web/{name}\n" in listed for name in ("index.html", "model.onnx", *web.RUNTIME_FILES))
    assert json.loads((directory / "web" / "model.json").read_text())["class_names"] == list(
        ensemble.class_names
    )
    (directory / "web" / "mine.txt").write_text("mine")
    with pytest.raises(ExportError, match=r"holds 'web/mine\.txt', which is not part of the export"):
        export(ensemble, directory, random_images(4, ensemble), formats=["onnx"])
    (directory / "web" / "mine.txt").unlink()
