"""The story of a study: what was tried, what helped, and what came of it, in one document."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path

from search_space.errors import ConvscoutError
from services.directories import refuse_foreign, replacing
from services.events import Listener, Notice
from services.finish import stored_outcome
from services.home import Home
from services.judging import ENSEMBLE, SINGLE, gain_text
from services.runner import same_data
from services.story.document import Block, Document, Section, Text
from services.story.facts import StudyFacts
from services.story.files import MARKDOWN, PAGE, story_directory, written
from services.story.markdown import to_markdown
from services.story.page import to_html
from services.story.sections.costs import costs
from services.story.sections.data import data
from services.story.sections.ensemble import ensemble
from services.story.sections.families import families
from services.story.sections.knobs import knobs
from services.story.sections.looks import looks
from services.story.sections.milestones import milestones
from services.story.sections.mistakes import mistakes
from services.story.sections.repeating import repeating
from services.story.sections.search import search
from services.story.sections.small_and_fast import small_and_fast
from services.study import Ledger
from trials.splits import DataSplits

# In the order they are told. Each gives None where there is nothing to tell.
SECTIONS: Sequence[Callable[[StudyFacts], Section | None]] = (
    ensemble,
    milestones,
    data,
    search,
    knobs,
    families,
    small_and_fast,
    mistakes,
    looks,
    costs,
    repeating,
)


def write_story(home: Home, name: str, output: Path | None, listener: Listener) -> list[Path]:
    """Tell study ``name``, finished or not, in the directory ``output`` or its own; returns the files.

    The page holds its pictures, the Markdown has them beside it. The test split stays closed. Raises ``UserError``
    when the directory holds anything but an earlier report.
    """
    target = (output or story_directory(home, name)).absolute()
    refuse_foreign(target, written(target), "a report of convscout")  # before all the work
    document = tell(facts(home, name, listener))
    with replacing(target) as fresh:
        files = {PAGE: to_html(document), MARKDOWN: to_markdown(document)}
        for file, text in files.items():
            (fresh / file).write_text(text, encoding="utf-8")
        for picture in document.pictures:
            (fresh / picture.name).write_bytes(picture.png)
    return [target / file for file in (*files, *(picture.name for picture in document.pictures))]


def facts(home: Home, name: str, listener: Listener) -> StudyFacts:
    """What is known of study ``name``. Raises ``StudyNotFoundError``."""
    ledger = Ledger.open(home, name)
    return StudyFacts(
        ledger=ledger,
        records=ledger.trials(),
        outcome=stored_outcome(ledger),
        splits=_images(ledger, listener),
        listener=listener,
    )


def tell(known: StudyFacts) -> Document:
    """The whole story."""
    sections = [section for each in SECTIONS if (section := each(known))]
    return Document(title=f"Study {known.name}", lead=_lead(known), sections=sections)


def _lead(known: StudyFacts) -> list[Block]:
    trained, epochs = len(known.view.records), known.view.epochs
    today = datetime.date.today().isoformat()
    did = f"{trained:,} networks were trained on {known.config.data} for {epochs:,} epochs in all."
    outcome = known.outcome
    if outcome is None:
        for best in known.ranking[:1]:
            did += f" The best so far: trial {best.number}, {known.score(best)} on validation images."
        return [Text(f"{did} The study has not ended; this was written on {today}.")]
    came = f"Their ensemble answers {outcome.score(ENSEMBLE, 'test'):.2%} of the test images rightly"
    if outcome.gain and len(outcome.ensemble.members) > 1:
        came += f", {gain_text(outcome.gain, ' against the best single network')}"
    else:
        came += f", the best single network {outcome.score(SINGLE, 'test'):.2%}"
    return [Text(f"{did} {came}. Written on {today}.")]


def _images(ledger: Ledger, listener: Listener) -> DataSplits | None:
    try:
        return same_data(ledger, ledger.config, listener)
    except ConvscoutError as error:
        listener(Notice(text=f"without the images, which cannot be read any more: {error.message}"))
        return None
