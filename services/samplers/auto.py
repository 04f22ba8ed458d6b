"""The sampler that a study gets when it names none: by its budget, its space and its objectives."""

from __future__ import annotations

import math

from convscout.search_space.conditions import conditions
from convscout.search_space.errors import list_names
from convscout.services.plugins import samplers
from convscout.services.samplers.base import Sampling, SamplingTask
from convscout.services.samplers.shared_knobs import deciding_knobs

# With fewer full trials, local search is nearer to the best network than a model (docs/performance.md).
TOO_FEW_TO_LEARN = 20
FEW_TRIALS = 100  # for which a Gaussian process is worth its time, and which it can take
MANY_TRIALS = 1_000  # enough for generations


@samplers.register("auto")
def auto(task: SamplingTask) -> Sampling:
    """What ``chosen`` chooses. A study that begins stores the choice instead (``services/search/auto_config.py``)."""
    return samplers.get(choose(task)[0])(task)


def choose(task: SamplingTask) -> tuple[str, str]:
    """The name of the sampler for ``task``, and why."""
    size, trials = task.space.size(), task.trials
    room = min(task.full_trials, math.inf if trials is None else trials)
    if trials is not None and not size.continuous and size.discrete <= trials:
        return "grid", f"all {size.discrete:,} candidates can be tried"
    if task.num_objectives > 1:
        if trials is not None and trials >= MANY_TRIALS:
            return "nsga2", f"{task.num_objectives} objectives, and {trials:,} trials for its generations"
        return "tpe", f"{task.num_objectives} objectives, and fewer than {MANY_TRIALS:,} trials"
    if room < TOO_FEW_TO_LEARN:
        return (
            "local",
            f"there is room for about {max(1, round(room))} full trials, too few to learn a model from",
        )
    if deciding := deciding_knobs(task.space):
        return "tpe", f"which knobs a candidate has depends on {list_names(deciding)}"
    if trials is not None and trials <= FEW_TRIALS:
        return "gp", f"few trials, and every candidate has the same {len(conditions(task.space))} knobs"
    return "tpe", f"there may be more than {FEW_TRIALS} trials"
