"""The report tells a study as it was: every figure from its ledger, on a page that needs nothing beside it."""

from __future__ import annotations

import json
import re
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from convscout.search_space.errors import StudyNotFoundError, UserError
from convscout.services.config.command_line import search_command
from convscout.services.config.home import Home
from convscout.services.config.study_config import StudyConfig
from convscout.services.events.events import Event, Notice
from convscout.services.events.wording import sentence
from convscout.services.ledger.ledger import Ledger
from convscout.services.report.document import Code, Document, Picture, Section, Table, Text
from convscout.services.report.facts import StudyFacts
from convscout.services.report.files import MARKDOWN, PAGE
from convscout.services.report.markdown import to_markdown
from convscout.services.report.page import to_html
from convscout.services.report.sections.milestones import MARKS, find_passed, milestones
from convscout.services.report.sections.small_and_fast import select_undominated
from convscout.services.report.story import write_story
from convscout.services.studies import run as study_run
from convscout.services.studies import session
from convscout.services.studies.outcome import OPENINGS_NOTE, Outcome, load_outcome
from convscout.trials.config import TrialState
from tests.services.cli.test_study import Captured, run
from tests.support.browsing import needs_browser
from tests.support.recorded_study import recorded_study
from tests.support.sampled_trials import sampled_trials
from tests.support.studies import quiet, tiny_config

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TITLES = [
    "What came of it",
    "Milestones",
    "The images",
    "What was tried",
    "What helped",
    "Families",
    "Small and fast",
    "Where it errs",
    "What it looks at",
    "What it took",
    "To repeat it",
]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits of our own, whose class names are a nuisance to those who write pages."""
    digits = load_digits()
    names = ["<b>zero</b>", "o|ne", *(str(label) for label in range(2, 10))]
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    np.savez(path, images=digits.images.astype(np.uint8) * 15, labels=digits.target, class_names=names)
    return path


@pytest.fixture(scope="module")
def home(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Study ``tiny`` was searched to its end."""
    found = Home(tmp_path_factory.mktemp("home"))
    config = tiny_config(data=f"npz:{archive}", families=("lenet", "mlp"), space={}, trials=4)
    study_run.search(config, found, quiet, time.time())
    return found


@pytest.fixture(scope="module")
def outcome(home: Home) -> Outcome:
    found = load_outcome(Ledger.open(home.study("tiny")))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def story(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("story") / "told"
    write_story(home.study("tiny"), directory, quiet)
    return directory


def test_every_chapter_is_told(story: Path) -> None:
    markdown = (story / MARKDOWN).read_text()
    assert re.findall(r"^## (.*)$", markdown, re.MULTILINE) == TITLES
    page = (story / PAGE).read_text()
    assert re.findall(r"<h2[^>]*>(.*)</h2>", page) == TITLES


def test_figures_are_those_of_the_ledger(story: Path, home: Home, outcome: Outcome) -> None:
    for text in ((story / MARKDOWN).read_text(), (story / PAGE).read_text()):
        for row in outcome.report:
            assert all(cell in text for cell in row.cells)
        assert outcome.corrections and all(sentence(each) in text for each in outcome.corrections)
        for record in Ledger.open(home.study("tiny")).trials():
            assert record.score is not None and f"{record.score:.2%}" in text
        assert "The test images were opened once in this study." in text


def test_the_test_split_stays_closed(story: Path, home: Home) -> None:
    assert len(Ledger.open(home.study("tiny")).note(OPENINGS_NOTE) or []) == 1


def test_the_page_needs_nothing_beside_it(story: Path) -> None:
    page = (story / PAGE).read_text()
    assert "<script" not in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources and all(each.startswith(("data:image/png;base64,", "#section-")) for each in sources)


def test_markdown_has_its_pictures_beside_it(story: Path) -> None:
    names = re.findall(r"^!\[.+\]\((.+)\)$", (story / MARKDOWN).read_text(), re.MULTILINE)
    assert len(set(names)) == len(names) >= 10
    assert {path.name for path in story.iterdir()} == {PAGE, MARKDOWN, *names}
    for name in names:
        with Image.open(story / name) as picture:
            picture.verify()


def test_names_are_shown_as_they_are(story: Path) -> None:
    assert "&lt;b&gt;zero&lt;/b&gt;" in (story / PAGE).read_text()
    assert "<b>" not in (story / PAGE).read_text()
    assert "| \\<b\\>zero\\</b\\> |" in (story / MARKDOWN).read_text()
    assert "| o\\|ne |" in (story / MARKDOWN).read_text()


def test_the_command_that_it_tells_begins_the_same_study(
    story: Path, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Ledger.open(home.study("tiny")).config
    command = search_command(config)
    assert command in (story / MARKDOWN).read_text()
    assert run("config", *shlex.split(command)[2:], "--home", home.root, "--json") == 0
    assert StudyConfig.from_options(json.loads(capsys.readouterr().out)) == config


def test_knobs_come_from_a_file(tmp_path: Path) -> None:
    config = tiny_config(data="folder:my pictures", portfolio=False, max_params="1.5M", time="90s")
    command = shlex.split(search_command(config))
    assert command[command.index("--data") + 1] == f"folder:{Path.cwd() / 'my pictures'}"
    assert command[command.index("--max-params") + 1] == "1500000"
    assert "--no-portfolio" in command and command[-2:] == ["--config", "study.toml"]


@pytest.mark.slow
def test_a_study_whose_images_are_gone_is_told_without_them(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, home = tmp_path / "here.npz", Home(tmp_path / "home")
    here.write_bytes(archive.read_bytes())
    space = {"lenet.width": 16, "recipe.batch_size": 64}  # which passes the first milestone on any processor
    config = tiny_config(data=f"npz:{here}", trials=1, epochs=4, space=space)
    study_run.search(config, home, quiet, time.time())
    here.unlink()
    events: list[Event] = []
    written = write_story(home.study("tiny"), None, events.append)
    assert written[0] == home.study("tiny").directory / "story" / PAGE
    titles = re.findall(r"^## (.*)$", written[1].read_text(), re.MULTILINE)
    assert titles == [title for title in TITLES if title != "What it looks at"]
    assert "which cannot be read any more" in written[1].read_text()
    assert any(isinstance(event, Notice) and "cannot be read any more" in event.text for event in events)


def test_a_study_that_only_began_has_a_story(tmp_path: Path) -> None:
    home = Home(tmp_path)
    config = tiny_config()
    splits = session.load_data(config, home, quiet)
    Ledger.create(home, config, fingerprint=splits.fingerprint, code={})
    (page, markdown) = write_story(home.study("tiny"), tmp_path / "told", quiet)
    assert "0 networks were trained" in page.read_text() and "has not ended" in markdown.read_text()
    assert re.findall(r"^## (.*)$", markdown.read_text(), re.MULTILINE) == ["The images", "To repeat it"]


@pytest.mark.slow
def test_an_earlier_story_is_replaced_and_nothing_else(story: Path, home: Home, tmp_path: Path) -> None:
    target = tmp_path / "told"
    write_story(home.study("tiny"), target, quiet)
    before = {path.name for path in target.iterdir()}
    write_story(home.study("tiny"), target, quiet)
    assert {path.name for path in target.iterdir()} == before
    for mine in ("thesis.txt", "mine.png"):
        (target / mine).write_text("mine")
        with pytest.raises(UserError, match=mine):
            write_story(home.study("tiny"), target, quiet)
        assert (target / mine).read_text() == "mine"
        (target / mine).unlink()


@pytest.mark.slow
def test_the_command_says_where_it_wrote(home: Home, tmp_path: Path, capsys: Captured) -> None:
    assert run("report", "tiny", "--home", home.root, "--output", tmp_path / "told") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[-2:] == [str(tmp_path / "told" / PAGE), str(tmp_path / "told" / MARKDOWN)]
    assert run("report", "tiny", "--home", home.root, "--output", tmp_path / "told", "--json") == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert all(Path(file).is_file() for file in files) and len(files) > 10
    assert run("report", "tinny", "--home", home.root) == 2
    assert "tiny" in capsys.readouterr().err


def test_a_study_that_there_is_not_is_named(home: Home) -> None:
    with pytest.raises(StudyNotFoundError, match="tinny"):
        write_story(home.study("tinny"), None, quiet)


# parts


def known(root: Path, epochs: int) -> StudyFacts:
    """Three recorded trials, ten seconds apart, of which the last failed."""
    recorded = recorded_study(root)
    for number, state in enumerate((TrialState.COMPLETED, TrialState.STOPPED, TrialState.FAILED)):
        recorded.train(number, epochs=epochs, state=state)
    return StudyFacts(
        ledger=cast(Ledger, recorded), records=recorded.trials(), outcome=None, splits=None, listener=quiet
    )


def test_milestones_are_passed_by_who_was_first(tmp_path: Path) -> None:
    facts = known(tmp_path, 4)
    found = list(find_passed(facts))
    values = {
        (record.number, measured.epoch): measured.val_accuracy
        for record in facts.records
        for measured in record.measurements
    }
    assert [each.mark for each in found] == [mark for mark in MARKS if mark <= max(values.values())]
    for each in found:
        assert values[each.trial.number, each.epoch] >= each.mark
        before = {key for key, value in values.items() if value >= each.mark and key[0] < each.trial.number}
        assert not before and each.trial.state is not TrialState.FAILED
    section = milestones(facts)
    assert section is not None
    table = section.blocks[1]
    assert isinstance(table, Table) and {row[3] for row in table.rows} == {"not opened yet"}


def test_nothing_is_said_of_milestones_before_the_first_epoch(tmp_path: Path) -> None:
    assert milestones(known(tmp_path, 0)) is None


def test_the_small_and_fast_are_those_that_no_other_beats() -> None:
    records = [record for record in sampled_trials(60) if record.state.scored]
    ranking = sorted(records, key=lambda record: -record.utility)
    front = select_undominated(ranking)

    def costs(record: object) -> tuple[float, int, int]:
        complexity = record.complexity  # type: ignore[attr-defined]
        return -record.utility, complexity.params, complexity.flops  # type: ignore[attr-defined]

    beaten = [
        record
        for record in ranking
        if any(
            other is not record
            and all(a <= b for a, b in zip(costs(other), costs(record), strict=True))
            and costs(other) != costs(record)
            for other in ranking
        )
    ]
    assert {record.number for record in front} == {r.number for r in ranking} - {r.number for r in beaten}
    assert 1 < len(front) < len(ranking)


def test_documents_are_written_as_they_are() -> None:
    picture = Picture(name="a.png", png=b"\x89PNG", says="a <pic>")
    blocks = [
        Text("1 < 2 & `so`"),
        Code("a b\n  c"),
        picture,
        Table(columns=["x", "y"], rows=[["a|b", "1"]], right=["y"]),
    ]
    document = Document(title="T*", lead=[], sections=[Section("S", blocks)])
    assert to_markdown(document) == (
        "# T\\*\n\n## S\n\n1 \\< 2 & \\`so\\`\n\n    a b\n      c\n\n![a \\<pic\\>](a.png)\n\n"
        "| x | y |\n| --- | --: |\n| a\\|b | 1 |\n"
    )
    page = to_html(document)
    assert "1 &lt; 2 &amp; `so`" in page and "a b\n  c</code>" in page
    assert 'alt="a &lt;pic&gt;"' in page and '<td class="number">1</td>' in page


@needs_browser
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_read_in_a_browser(story: Path, browser: Browser, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    asked, complaints = list[str](), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda said: complaints.append(said.text))
    page.goto((story / PAGE).as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    widths = page.evaluate("[...document.images].map(image => image.complete ? image.naturalWidth : 0)")
    assert len(widths) >= 10 and min(widths) > 0
    assert [url for url in asked if not url.startswith("data:")] == [(story / PAGE).as_uri()]
    page.get_by_role("link", name="Milestones").click()
    assert page.get_by_role("heading", name="Milestones").is_visible()
    assert not complaints
    page.close()
