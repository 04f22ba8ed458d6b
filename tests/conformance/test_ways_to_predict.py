"""Every kind of image file is answered alike in every way to predict: as the networks answer what it shows."""

from __future__ import annotations

import http.client
import http.server
import io
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

import convscout
from convscout.services.config.home import Home
from convscout.services.config.study_ref import StudyRef
from convscout.services.ensembles.trained import TrainedEnsemble
from convscout.services.export.onnx_model import ExportedModel
from convscout.services.export.writer import export
from convscout.services.inference.labelled_data import read_undivided
from convscout.services.inference.predict import Prediction, load_model
from convscout.services.ledger.ledger import Ledger
from convscout.services.model_server.app import make_app
from convscout.trials.data.sources import DataRequest
from tests.services.cli.test_study import run
from tests.support.browsing import needs_browser
from tests.support.file_server import files_served
from tests.support.image_modes import MODES, SIDE, ImageMode
from tests.support.reading_back import read_back_here
from tests.support.service import program, served, service_at
from tests.support.studies import tiny_config
from tests.support.trained_ensembles import random_images, trained_ensemble

Answer: TypeAlias = dict[str, float] | None
"""The probability of each class, or None for what was refused."""

Answers: TypeAlias = dict[str, Answer]
"""Those to the modes, by name."""

FORMATS = ["bundle", "onnx", "standalone", "docker"]
WHITES = sorted({mode.white for mode in MODES})
NUM_CLASSES = 4
CLOSE, CLOSE_LOSSY = 1e-4, 0.05  # of probabilities; programs differ a little in how they decode JPEG and AVIF


@dataclass(frozen=True)
class Exports:
    """Exports of one ensemble, by what was white in training, as exports of the ``study``, and the modes as files."""

    ensemble: TrainedEnsemble
    study: StudyRef
    directories: dict[int, Path]
    files: dict[str, Path]

    def each(self) -> Iterator[tuple[Path, list[ImageMode]]]:
        """Each export and the modes that it is asked about."""
        for white, directory in self.directories.items():
            yield directory, [mode for mode in MODES if mode.white == white]

    def paths(self, modes: Sequence[ImageMode]) -> list[Path]:
        """The files of ``modes``."""
        return [self.files[mode.name] for mode in modes]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    root = tmp_path_factory.mktemp("ways")
    ledger = Ledger.create(Home(root / "home"), tiny_config(), fingerprint="f" * 64)
    ensemble = trained_ensemble("lenet", image_size=SIDE)
    directories = {}
    with read_back_here():
        for white in WHITES:
            directory = ledger.ref.directory / "exports" / str(white)
            export(replace(ensemble, white=white), directory, random_images(8, ensemble), formats=FORMATS)
            directories[white] = directory
    files = {mode.name: root / mode.name for mode in MODES}
    for mode in MODES:
        files[mode.name].write_bytes(mode.content)
    return Exports(ensemble, ledger.ref, directories, files)


@pytest.fixture(scope="module")
def seen(exports: Exports) -> Answers:
    """What the networks themselves answer to what each mode shows."""
    shown = {mode.name: mode.shows for mode in MODES if mode.shows is not None}
    said = exports.ensemble.build_module().answer(np.stack([*shown.values()]).astype(np.uint8))
    return dict(zip(shown, (by_class(exports, each) for each in said), strict=True))


def by_class(exports: Exports, probabilities: np.ndarray) -> Answer:
    return dict(zip(exports.ensemble.class_names, map(float, probabilities), strict=True))


# the ways


def command(exports: Exports) -> Answers:
    """``convscout predict`` on files."""
    found: Answers = {}
    for directory, modes in exports.each():
        with redirect_stdout(io.StringIO()) as printed:
            run("predict", directory, *exports.paths(modes), "--json", "--top", NUM_CLASSES)
        for each in json.loads(printed.getvalue()):
            top = {guess["class_name"]: guess["probability"] for guess in each["top"]}
            found[Path(each["path"]).name] = top or None
    return found


def of_python(exports: Exports, picture: Callable[[Path], Any]) -> Answers:
    """``convscout.predict`` on what ``picture`` makes of a file."""
    found: Answers = {}
    for directory, modes in exports.each():
        given = [picture(path) for path in exports.paths(modes)]
        for mode, said in zip(modes, convscout.predict(directory, given, top=NUM_CLASSES), strict=True):
            found[mode.name] = top_of(said)
    return found


def top_of(said: Prediction) -> Answer:
    return {each.class_name: each.probability for each in said.top} or None


def python_paths(exports: Exports) -> Answers:
    """``convscout.predict`` on paths."""
    return of_python(exports, str)


def python_bytes(exports: Exports) -> Answers:
    """``convscout.predict`` on the contents of files."""
    return of_python(exports, Path.read_bytes)


def asked_over_http(client: httpx.Client, path: str, mode: ImageMode) -> Answer:
    head = {"Content-Type": "application/octet-stream"}
    answer = client.post(path, content=mode.content, headers=head)
    assert answer.status_code == (200 if answer.is_success else 422), answer.text
    return dict(answer.json()["top"]) if answer.is_success else None


def rest(exports: Exports) -> Answers:
    """The service's REST API."""
    found: Answers = {}
    with service_at(exports.study.home.root) as address, program(address) as client:
        for directory, modes in exports.each():
            path = f"/api/v1/studies/{exports.study.name}/predict?export={directory.name}&top={NUM_CLASSES}"
            found |= {mode.name: asked_over_http(client, path, mode) for mode in modes}
    return found


def model_server(exports: Exports) -> Answers:
    """``convscout serve-model``, picture by picture."""
    found: Answers = {}
    for directory, modes in exports.each():
        with served(make_app(load_model(directory))) as address, httpx.Client(base_url=address) as client:
            path = f"/predict?top={NUM_CLASSES}"
            found |= {mode.name: asked_over_http(client, path, mode) for mode in modes}
    return found


def model_server_batch(exports: Exports) -> Answers:
    """``convscout serve-model``, all pictures in one form."""
    found: Answers = {}
    for directory, modes in exports.each():
        with served(make_app(load_model(directory))) as address, httpx.Client(base_url=address) as client:
            files = [("pictures", (mode.name, mode.content)) for mode in modes]
            answer = client.post(f"/predict/batch?top={NUM_CLASSES}", files=files, timeout=60)
            found |= {each["name"]: each.get("top") for each in answer.json()["predictions"]}
    return found


def standalone(exports: Exports) -> Answers:
    """``predict.py`` of an export, without convscout."""
    found: Answers = {mode.name: None for mode in MODES}
    for directory, modes in exports.each():
        script = [sys.executable, "-I", directory / "predict.py", "--json", "--top", str(NUM_CLASSES)]
        done = subprocess.run([*script, *exports.paths(modes)], capture_output=True, text=True, timeout=60)
        lines = map(json.loads, done.stdout.splitlines())
        found |= {Path(each["path"]).name: each["top"] for each in lines}
        assert "Traceback" not in done.stderr, done.stderr
    return found


def docker(exports: Exports) -> Answers:
    """The server of the Docker directory, without Docker."""
    found: Answers = {}
    for directory, modes in exports.each():
        with docker_server(directory) as connection:
            for mode in modes:
                connection.request("POST", f"/predict?top={NUM_CLASSES}", mode.content)
                answer = connection.getresponse()
                said = json.loads(answer.read())
                assert answer.status in (200, 400), said
                found[mode.name] = said.get("top")
    return found


@contextmanager
def docker_server(directory: Path) -> Iterator[http.client.HTTPConnection]:
    command = [sys.executable, "server.py", "--port", "0"]
    with subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().removeprefix("listening at http://").strip()
            connection = http.client.HTTPConnection(address, timeout=60)
            yield connection
            connection.close()
        finally:
            process.send_signal(signal.SIGTERM)


FROM_FILES = (command, python_paths, standalone)
FROM_STRANGERS = (python_bytes, rest, model_server, model_server_batch, docker)


# the matrix


def differing(said: Answers, seen: Answers, expected: Sequence[ImageMode], lossy: float = CLOSE) -> Answers:
    """What is ``said`` otherwise than ``seen``; of modes that are not ``expected``, whatever is said."""
    wrong = {}
    for mode in MODES:
        answer, right = said.get(mode.name), seen.get(mode.name) if mode in expected else None
        close = CLOSE_LOSSY if mode.tolerance else lossy
        if answer != (right and pytest.approx(right, abs=close)):
            wrong[mode.name] = answer
    return wrong


def test_the_modes_are_told_apart(seen: Answers) -> None:
    """Else a picture that is read as black, or lying on its side, would be answered as it should be."""
    readable = [mode for mode in MODES if mode.shows is not None]
    shown = {mode.shows.tobytes(): seen[mode.name] for mode in readable if mode.shows is not None}
    answers = np.array([[*answer.values()] for answer in shown.values() if answer])
    apart = np.abs(answers[:, np.newaxis] - answers).max(axis=2)[~np.eye(len(answers), dtype=bool)]
    assert apart.min() > 10 * CLOSE


@pytest.mark.parametrize("way", FROM_FILES, ids=lambda way: way.__name__)
def test_files_are_answered_as_what_they_show(
    exports: Exports, seen: Answers, way: Callable[[Exports], Answers]
) -> None:
    assert differing(way(exports), seen, MODES) == {}


@pytest.mark.parametrize("way", FROM_STRANGERS, ids=lambda way: way.__name__)
def test_what_strangers_send_is_answered_as_what_it_shows_unless_its_decoder_is_not_trusted(
    exports: Exports, seen: Answers, way: Callable[[Exports], Answers]
) -> None:
    trusted = [mode for mode in MODES if mode.network and not mode.name.endswith(".tif")]
    assert differing(way(exports), seen, trusted) == {}


def test_images_of_pillow_are_answered_as_their_files_unless_they_hold_less(
    exports: Exports, seen: Answers
) -> None:
    with ExitStack() as opened:
        readable = replace(exports, files=exports.files | {"no-image.png": exports.files["RGB.png"]})
        said = of_python(readable, lambda path: opened.enter_context(Image.open(path)))
    held = [mode for mode in MODES if not mode.name.startswith(("LA12", "RGB12", "RGBA12"))]
    said["no-image.png"] = said["floats.tif"] = None  # floats are taken from Pillow, as from NumPy
    assert differing(said, seen, held) == {}


def test_labelled_images_are_read_as_those_that_are_predicted(exports: Exports, tmp_path: Path) -> None:
    """``convscout evaluate`` judges the pixels that the export would be asked about."""
    for white, directory in exports.directories.items():
        modes = [mode for mode in MODES if mode.white == white and mode.shows is not None]
        for name in ("cat", "dog"):
            folder = tmp_path / str(white) / name
            folder.mkdir(parents=True)
            for mode in modes:
                (folder / mode.name).write_bytes(mode.content)
        request = DataRequest(data=f"folder:{tmp_path / str(white)}", seed=0, cache=tmp_path, white=white)
        found = read_undivided(request, "all", SIDE, 3)
        assert found.skipped == () and ExportedModel(directory / "model.onnx").white == white
        by_name = sorted(modes, key=lambda mode: mode.name)
        for mode, pixels in zip(by_name * 2, found.images.images, strict=True):
            assert mode.shows is not None
            assert np.abs(pixels.astype(int) - mode.shows).max() <= mode.tolerance, mode.name


# the page


def in_browser(browser: Browser, address: str, paths: Sequence[Path]) -> Answers:
    """What the page says of each file, one after another."""
    page, found = browser.new_page(), Answers()
    page.goto(address)
    expect(page.locator("#status")).to_have_text("Ready.", timeout=60_000)
    for path in paths:
        page.set_input_files("#picture", path)
        outcome = page.locator(f"#result:visible img[alt='{path.name}'], #problem:visible")
        expect(outcome).to_be_visible(timeout=60_000)
        rows = page.locator("#top li").all() if page.locator("#result").is_visible() else []
        found[path.name] = {
            row.locator(".name").inner_text(): float(row.get_attribute("data-probability") or 0)
            for row in rows
        } or None
        if not rows:
            assert path.name in page.locator("#problem").inner_text()
    page.close()
    return found


@needs_browser
@pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm, which fetches onnxruntime-web")
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("white", WHITES)
def test_a_browser_answers_what_it_can_read_and_refuses_the_rest(
    exports: Exports, seen: Answers, browser: Browser, tmp_path: Path, white: int
) -> None:
    ensemble = replace(exports.ensemble, white=white)
    with read_back_here():
        left_out = export(
            ensemble, tmp_path / "export", random_images(8, ensemble), formats=["onnx", "web"]
        ).left_out
    if "cannot fetch" in left_out.get("web", ""):
        pytest.skip(left_out["web"])
    modes = [mode for mode in MODES if mode.white == white]
    with files_served(tmp_path / "export" / "web") as address:
        said = in_browser(browser, address, exports.paths(modes))
    others = {mode.name: seen.get(mode.name) for mode in MODES if mode.white != white}
    readable = [mode for mode in MODES if mode.browser or mode.white != white]
    # a browser rounds colours that are half transparent, and brings 16 bits to 8, in its own way: by a level
    assert differing(said | others, seen, readable, lossy=0.01) == {}
