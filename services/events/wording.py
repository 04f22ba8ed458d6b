"""Wording: one text for each event of a study and for each part of how it stands; terminals and pages lay it out.

The functions take the facts of the event log, not events, so that a client of the service imports neither torch nor
Optuna. Which texts are shown, and where, is the layout's choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from convscout.services.config.units import format_clock, format_count
from convscout.trials.end_reason import EndReason

BEST_SO_FAR = "the best so far"
NO_SCORE = "no score yet"
_REJECTED, _DID_NOT_FIT = "rejected", "did not fit"
_PHASES = {
    "machine": "measuring the machine",
    "data": "reading the data",
    "ensemble": "selecting the ensemble",
    "refit": "refitting the ensemble",
    "distil": "distilling the ensemble",
    "test": "opening the test split",
    "export": "exporting and verifying",
}


def event_text(kind: str, facts: Mapping[str, Any]) -> str:
    """The event as a sentence, also one that an earlier version wrote to the event log.

    Empty for an event that only changes how the study stands, such as ``loading``, and for an unknown one.
    """
    match kind:
        case "run_started":
            return f"a run began: convscout {facts['command']}"
        case "run_ended":
            return _run_ended(facts["how"], facts.get("error", ""))
        case "search_started":
            return _search_started(facts)
        case "trial_started":
            attempt = f", attempt {facts['attempt']}" if facts["attempt"] > 1 else ""
            return f"{trial_name(facts['trial'])} started: {_network_of(facts)}{attempt}"
        case "epoch":
            return f"{trial_name(facts['trial'])} epoch {facts['epoch']}: validation {_score(facts)}"
        case "trial_ended":
            return _trial_ended(facts)
        case "phase":
            return phase_text(facts["phase"], facts["detail"])
        case "notice" | "pause_started":
            return notice_text(facts["text"])
    return ""


def _run_ended(how: str, error: str) -> str:
    return f"the run ended with an error: {error}" if error else f"the run ended: {how}"


def _search_started(facts: Mapping[str, Any]) -> str:
    trials, deadline_s = facts["trials"], facts["deadline_s"]
    bounds = [] if trials is None else [f"{trials:,} trials"]
    bounds += [] if deadline_s is None else [f"{format_clock(deadline_s)} left"]
    before = f", {facts['finished']} trained before" if facts["finished"] else ""
    workers = workers_text(facts["workers"], facts["executor"])
    return (
        f"study {facts['study']} on {facts['data']}: {workers}, {' and '.join(bounds) or 'no bound'}{before}"
    )


def _trial_ended(facts: Mapping[str, Any]) -> str:
    parts = [f"{trial_name(facts['trial'])} {facts['state']}: {_network_of(facts)}"]
    if facts.get("params") is not None:
        parts.append(f"{format_count(facts['params'])} parameters")
    if facts["score"] is not None:
        epoch = f" at epoch {facts['best_epoch']} of {facts['epochs']}" if "best_epoch" in facts else ""
        parts.append(f"validation {_score(facts)}{epoch}")
    if facts["reason"]:
        parts.append(facts["reason"])
    return ", ".join(parts)


def _score(facts: Mapping[str, Any]) -> str:
    """The score for a person; early event logs hold only the number."""
    return facts.get("score_text") or f"{facts['score']:.4f}"


def trial_name(number: int) -> str:
    """The name of a trial, which begins the text of each event of it."""
    return f"trial {number}"


class _Trial(Protocol):
    """A trial, as the ledger or a service tells of it."""

    @property
    def family(self) -> str: ...

    @property
    def phase(self) -> str: ...

    @property
    def grown_from(self) -> int | None: ...


def network_text(trial: _Trial) -> str:
    """The family of a trial, with its part in a search that has scouts or a control: ``vgg (scout)``."""
    return _network(trial.family, trial.phase, trial.grown_from)


def _network(family: str, phase: str, grown_from: int | None) -> str:
    role = phase if phase in ("scout", "control") else ""
    if grown_from is not None:
        role = f"from scout {grown_from}"
    return f"{family} ({role})" if role else family


def _network_of(facts: Mapping[str, Any]) -> str:
    return _network(facts["family"], facts.get("phase", ""), facts.get("grown_from"))


def phase_text(phase: str, detail: str = "") -> str:
    """Something that a study does beside training; ``phase`` is that of ``PhaseStarted``."""
    return _PHASES.get(phase, phase) + (f": {detail}" if detail else "")


def notice_text(text: str) -> str:
    """Something that a person should know."""
    return f"note: {text}"


def sentence(text: str) -> str:
    """A line of a terminal as a sentence of a page or document."""
    return f"{text[:1].upper()}{text[1:]}."


def loading_text(description: str, done: int, total: int) -> str:
    """How far a reading has come."""
    return f"{description}: {done:,} of {total:,}"


def status_text(name: str, status: str, queue_position: int | None) -> str:
    """The status of the study called ``name``, with its place among those that wait, if it waits."""
    place = f", number {queue_position} of those that wait" if queue_position else ""
    return f"study {name} is {status}{place}"


def workers_text(count: int, executor: str = "") -> str:
    """How many trials are trained side by side, and by which executor."""
    return f"{count} worker{'' if count == 1 else 's'}" + (f" ({executor})" if executor else "")


def state_text(state: str, code: EndReason | None) -> str:
    """The state of a trial that perhaps ended for the reason ``code``."""
    return _DID_NOT_FIT if code is not None and code.did_not_fit else state


def counts_text(counts: Iterable[tuple[str, int]], did_not_fit: int = 0) -> str:
    """How many trials there are in each state; the rejected candidates that only ``did_not_fit`` come last."""
    others = ((state, count - did_not_fit if state == _REJECTED else count) for state, count in counts)
    parts = [f"{count} {state}" for state, count in others if count]
    if did_not_fit:
        parts.append(f"{did_not_fit} candidate{'' if did_not_fit == 1 else 's'} {_DID_NOT_FIT}")
    return ", ".join(parts)


def trials_text(
    counts: Iterable[tuple[str, int]], planned: int | None = None, before: int = 0, did_not_fit: int = 0
) -> str:
    """The same, with how many are ``planned`` and how many were trained by earlier runs."""
    of = "" if planned is None else f" of {planned:,}"
    earlier = f", {before} before" if before else ""
    return f"trials{of}: {counts_text(counts, did_not_fit) or 'none yet'}{earlier}"


def best_text(score_text: str, trial: int, family: str) -> str:
    """The best trial so far."""
    return f"{BEST_SO_FAR}: {score_text} ({trial_name(trial)}, {family})"


def time_text(elapsed_s: float, left_s: float | None) -> str:
    """How long the study has run, and what is left of its time, if that is bounded."""
    left = "" if left_s is None else f", {format_clock(left_s)} left"
    return f"{format_clock(elapsed_s)}{left}"


def pace_text(images_per_s: float | None, eta_s: float | None) -> str:
    """How fast all trials train together, and when the study should end, as far as one can tell."""
    eta = "" if eta_s is None else f", {format_clock(eta_s)} to go"
    return f"{images_per_s or 0:,.0f} images/s{eta}"


def budget_text(text: str, eta_s: float | None) -> str:
    """How one budget stands; ``eta_s`` is when it will be used up, as far as one can tell."""
    return text if eta_s is None else f"{text} (used up in {format_clock(eta_s)})"


def summary_text(
    *,
    elapsed_s: float,
    counts: Iterable[tuple[str, int]],
    best: str,
    images_per_s: float | None,
    eta_s: float | None,
    budgets: Iterable[str],
    used: float | None = None,
    did_not_fit: int = 0,
) -> str:
    """How a study stands, in a line; ``used`` is the share of its budget that is used, in [0, 1]."""
    parts = [counts_text(counts, did_not_fit) or "no trial yet", *([best] if best else [])]
    if images_per_s:
        parts.append(f"{images_per_s:,.0f} images/s")
    if used is not None:
        parts.append(f"{used:.0%} of the budget used")
    if eta_s is not None:
        parts.append(f"{format_clock(eta_s)} to go")
    return f"{format_clock(elapsed_s)}: {', '.join([*parts, *budgets])}"
