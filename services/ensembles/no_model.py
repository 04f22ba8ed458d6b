"""Why a study has no model: what became of its trials, and the next command to type."""

from __future__ import annotations

from collections.abc import Sequence

from convscout.search_space.errors import NoModelError
from convscout.services.config.study_config import StudyConfig
from convscout.services.ledger.end_reasons import group_reasons
from convscout.services.ledger.trial_record import TrialRecord
from convscout.trials.config import TrialState

_MOST_REASONS = 3
_OTHERWISE = "search again with other families or limits, or resume it with more trials or time"


def no_model(config: StudyConfig, records: Sequence[TrialRecord], *, lost: bool = False) -> NoModelError:
    """The error that says why none of a study's trials, which are ``records``, can become a model.

    ``lost`` says that some of them could, if their files were there.
    """
    trained = [record for record in records if record.trained]
    look, more = f"convscout trials {config.name}", _more(config)
    if lost:
        cause = "the best epochs of its trials are missing or damaged"
        following = f"convscout check {config.name}"
    elif any(record.state.scored and record.best for record in trained):
        cause, following = "its trials were judged on other images", more or look
    elif trained:  # more of the same would end in the same way: first look
        cause, following = f"{_describe_trained(trained)}; {_OTHERWISE}", look
    elif records:
        cause, following = f"{_describe_rejected(records)}; {_OTHERWISE}", more or look
    else:
        cause, following = "no trial was begun", more or look
    return NoModelError(f"no model: {cause}", next_command=following)


def _more(config: StudyConfig) -> str:
    """The command that grants the study more of what bounds it, empty where neither time nor trials do."""
    if config.time_s is not None:
        return f"convscout resume {config.name} --time +10m"
    return f"convscout resume {config.name} --trials +10" if config.trials is not None else ""


def _describe_trained(records: Sequence[TrialRecord]) -> str:
    if any(record.state is TrialState.RUNNING for record in records):
        return "no trial has ended with a score yet"
    failed = all(record.state is TrialState.FAILED for record in records)
    return f"{_all(records, 'trial')} {'failed' if failed else 'ended without a score'}: {_reasons(records)}"


def _describe_rejected(records: Sequence[TrialRecord]) -> str:
    if all(record.did_not_fit for record in records):
        return f"no room for a full trial: {_reasons(records)}"
    verb = "was" if len(records) == 1 else "were"
    return f"{_all(records, 'candidate')} {verb} rejected: {_reasons(records)}"


def _all(records: Sequence[TrialRecord], noun: str) -> str:
    return f"the only {noun}" if len(records) == 1 else f"all {len(records)} {noun}s"


def _reasons(records: Sequence[TrialRecord]) -> str:
    """Why they ended, the most common reasons with how many trials had them."""
    groups = group_reasons(records)
    told = [f"{group.count} × {group.text}" for group in groups[:_MOST_REASONS]]
    others = sum(group.count for group in groups[_MOST_REASONS:])
    return ", ".join([*told, *([f"{others} × other reasons"] if others else [])])
