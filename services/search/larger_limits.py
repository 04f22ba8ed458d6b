"""Which limits would let candidates in, where they rejected every one: as the next command to type."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from convscout.services.config.study_config import SETTINGS, StudyConfig

_ENOUGH = 0.1  # of the candidates have to fit, so that the next ones are not all rejected too
_SLOWER = 1.1  # times the latency that was measured may be measured the next time


def resume_with_larger_limits(config: StudyConfig, excesses: Iterable[Mapping[str, float]]) -> str:
    """The command that lets in enough of those who exceeded their limits by the least; empty where none exceeded any.

    ``excesses`` are those of ``LimitExceededError``, one a candidate.
    """
    exceeded = sorted(filter(None, excesses), key=_largest)
    if not exceeded:
        return ""
    fitting = exceeded[: math.ceil(_ENOUGH * len(exceeded))]
    share = _largest(fitting[-1])
    names = sorted({name for excess in fitting for name in excess})
    options = (f"--{SETTINGS[name].flag} {_spelled(name, config, share)}" for name in names)
    return f"convscout resume {config.name} {' '.join(options)}"


def _largest(excess: Mapping[str, float]) -> float:
    return max(excess.values())


def _spelled(name: str, config: StudyConfig, share: float) -> str:
    """The limit called ``name``, larger by ``share`` and rounded up, as a person would type it."""
    needed = getattr(config, name) * (1 + share)
    match name:
        case "max_latency":
            return f"{math.ceil(1000 * _SLOWER * needed)}ms"
        case "max_memory":
            return f"{math.ceil(needed / 1e6)}MB"
    return str(math.ceil(needed))
