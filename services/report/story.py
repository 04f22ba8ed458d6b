"""The story of a study: what was tried, what helped, and what came of it, in one document."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path

from convscout.search_space.errors import ConvscoutError
from convscout.services.config.study_ref import StudyRef
from convscout.services.evaluation.score_rows import ENSEMBLE, SINGLE, gain_text
from convscout.services.events.events import Listener, Notice
from convscout.services.ledger.ledger import Ledger
from convscout.services.report.document import Block, Document, Section, Text
from convscout.services.report.facts import StudyFacts
from convscout.services.report.files import MARKDOWN, PAGE, story_directory, write_files
from convscout.services.report.markdown import to_markdown
from convscout.services.report.page import to_html
from convscout.services.report.sections.costs import costs
from convscout.services.report.sections.data import data
from convscout.services.report.sections.ensemble import ensemble
from convscout.services.report.sections.families import families
from convscout.services.report.sections.knobs import knobs
from convscout.services.report.sections.looks import looks
from convscout.services.report.sections.milestones import milestones
from convscout.services.report.sections.mistakes import mistakes
from convscout.services.report.sections.repeating import repeating
from convscout.services.report.sections.search import search
from convscout.services.report.sections.small_and_fast import small_and_fast
from convscout.services.studies.outcome import load_outcome
from convscout.services.studies.session import same_data
from convscout.services.system.directories import refuse_foreign, replacing
from convscout.trials.data.splits import DataSplits

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


def write_story(ref: StudyRef, output: Path | None, listener: Listener) -> list[Path]:
    """Tell study ``name``, finished or not, in the directory ``output`` or its own; returns the files.

    The page holds its pictures, the Markdown has them beside it. The test split stays closed. Raises ``UserError``
    when the directory holds anything but an earlier report.
    """
    target = (output or story_directory(ref)).absolute()
    refuse_foreign(target, write_files(target), "a report of convscout")  # before all the work
    document = tell(facts(ref, listener))
    with replacing(target) as fresh:
        files = {PAGE: to_html(document), MARKDOWN: to_markdown(document)}
        for file, text in files.items():
            (fresh / file).write_text(text, encoding="utf-8")
        for picture in document.pictures:
            (fresh / picture.name).write_bytes(picture.png)
    return [target / file for file in (*files, *(picture.name for picture in document.pictures))]


def facts(ref: StudyRef, listener: Listener) -> StudyFacts:
    """What is known of study ``name``. Raises ``StudyNotFoundError``."""
    ledger = Ledger.open(ref)
    return StudyFacts(
        ledger=ledger,
        records=ledger.trials(),
        outcome=load_outcome(ledger),
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
