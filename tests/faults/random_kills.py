"""Row 1 of the faults: SIGKILL at random moments of a study, again and again, until it ends by itself."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.faults.victim import PATIENCE_S, Victim


@dataclass(frozen=True, kw_only=True)
class Survival:
    """How often a study was killed, at moments that ``seed`` drew, and what does not hold of it now."""

    seed: int
    kills: int
    complaints: list[str]


def survive(victim: Victim, undisturbed: Victim, *, seed: int, span_s: float, most: int) -> Survival:
    """Search and resume, each time killed within ``span_s`` seconds, at ``most`` so often; then let it end."""
    moments = random.Random(seed)
    known: dict[int, tuple[object, ...]] = {}
    complaints = []
    kills = 0
    process = victim.start()
    while kills < most:
        process.join(moments.uniform(0, span_s))
        if process.exitcode is not None:
            break
        process.kill()
        process.join()
        kills += 1
        now = victim.finished
        complaints += [
            f"trial {number} was lost or changed" for number in known if now.get(number) != known[number]
        ]
        known = now
        process = victim.start()
    process.join(PATIENCE_S)
    if process.exitcode != 0:
        return Survival(seed=seed, kills=kills, complaints=[*complaints, f"it failed: {victim.log}"])
    return Survival(seed=seed, kills=kills, complaints=complaints + victim.complaints(undisturbed))
