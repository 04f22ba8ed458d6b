"""Row 1 of the faults: SIGKILL at random moments of a study, again and again, until it ends by itself."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.support.victim import Victim


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
        if process.wait(moments.uniform(0, span_s)) is not None:
            break
        process.kill()
        kills += 1
        now = victim.finished
        complaints += [
            f"trial {number} was lost or changed" for number in known if now.get(number) != known[number]
        ]
        known = now
        process = victim.start()
    if process.wait() != 0:
        return Survival(seed=seed, kills=kills, complaints=[*complaints, f"it failed: {victim.log}"])
    return Survival(seed=seed, kills=kills, complaints=complaints + victim.complaints(undisturbed))
