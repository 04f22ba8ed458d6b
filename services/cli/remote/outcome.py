"""What a study of a service came to, for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from convscout.services.schemas.studies import StudyDetail


def tell_outcome(url: str, study: StudyDetail) -> None:
    """The scores of a study that has ended, and what to type next."""
    if study.outcome is None:
        return
    # torch takes seconds to import, and is needed for scores alone
    from convscout.services.cli.display import print_scores
    from convscout.services.studies.outcome import Outcome

    following = [
        f"browse: {url}/studies/{study.name}",
        f"export: convscout export {study.name} --to model --server {url}",
        f"predict: convscout predict {study.name} IMAGE.png --server {url}",
    ]
    print_scores(Console(), Outcome.from_dict(study.outcome), following)
