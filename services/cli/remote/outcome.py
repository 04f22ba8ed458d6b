"""What a study of a service came to, for a person."""

from __future__ import annotations

from rich.console import Console

from services.control.views import StudyDetail


def tell_outcome(url: str, study: StudyDetail) -> None:
    """The scores of a study that has ended, and what to type next."""
    if study.outcome is None:
        return
    from services.display import print_scores  # it imports torch, which only who reads scores waits for
    from services.finish import Outcome

    following = [
        f"browse: {url}/studies/{study.name}",
        f"export: convscout export {study.name} --to model --server {url}",
        f"predict: convscout predict {study.name} IMAGE.png --server {url}",
    ]
    print_scores(Console(), Outcome.from_dict(study.outcome), following)
