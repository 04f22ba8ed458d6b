"""Why trials ended: those that ended for the same reason counted together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from convscout.services.ledger.trial_record import TrialRecord
from convscout.trials.end_reason import EndReason

_MOST_EXAMPLES = 8


@dataclass
class ReasonGroup:
    """Trials that came to the same ``state`` for the same ``code``.

    ``examples`` are the latest of them, the last first; ``reason`` is the sentence of the last. ``alike`` says
    whether all have that sentence.
    """

    state: str
    code: EndReason
    reason: str
    alike: bool = True
    count: int = 0
    examples: list[TrialRecord] = field(default_factory=list)

    @property
    def text(self) -> str:
        """One line for a person: the sentence that all have, else the code with the latest sentence."""
        line = self.reason.partition("\n")[0]
        return line if self.alike else f"{self.code.replace('_', ' ')} (the latest: {line})"

    def add(self, record: TrialRecord) -> None:
        """Count ``record``, which is the latest."""
        self.alike = self.alike and record.reason == self.reason
        self.reason = record.reason
        self.count += 1
        self.examples = [record, *self.examples[: _MOST_EXAMPLES - 1]]


def group_reasons(records: Iterable[TrialRecord]) -> list[ReasonGroup]:
    """The reasons for which trials ended, the most frequent first; those without a code go by their sentences.

    Candidates that did not fit come last, however many: they are no trials that went wrong.
    """
    groups: dict[tuple[str, ...], ReasonGroup] = {}
    for record in records:
        if (code := record.reason_code) is None:
            continue
        key = str(record.state), str(code), record.reason if code is EndReason.UNKNOWN else ""
        group = groups.setdefault(key, ReasonGroup(state=key[0], code=code, reason=record.reason))
        group.add(record)
    return sorted(groups.values(), key=lambda each: (each.code.did_not_fit, -each.count))
