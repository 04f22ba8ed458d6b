"""How a study of a service stands, in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convscout.services.events.wording import best_text, budget_text, loading_text, summary_text

if TYPE_CHECKING:
    from convscout.services.schemas.studies import Best, StudyDetail


def summary(study: StudyDetail) -> str:
    """Its time, trials, best score, speed, progress and budgets; how far the reading is while it reads data."""
    if study.loading:
        return loading_text(**vars(study.loading))
    return summary_text(
        elapsed_s=study.elapsed_s,
        counts=study.trials.items(),
        best=best_line(study.best) if study.best else "",
        images_per_s=study.images_per_s,
        eta_s=study.eta_s,
        budgets=budgets(study),
        used=study.progress,
        did_not_fit=study.did_not_fit,
    )


def best_line(best: Best) -> str:
    """The best trial so far."""
    return best_text(best.text, best.trial, best.family)


def budgets(study: StudyDetail) -> list[str]:
    """How each budget stands, beside time and trials."""
    return [f"{each.name} {budget_text(each.text, each.eta_s)}" for each in study.budgets]
