"""Which knobs helped, as far as the trials tell."""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr

from convscout.services.plotting.knobs import LEAST_TRIALS, METHOD, ObservedKnob
from convscout.services.report.document import Block, Section, Table, Text
from convscout.services.report.facts import StudyFacts

_MOST = 10
_LEAST_SHARE = 0.01
CAVEATS = (
    "A share tells how well the values of a knob set the best trials apart from the rest, among what was tried: "
    "it is no proof that the knob is the cause, knobs may matter together, a knob that was hardly varied shows "
    "little, and trials that were stopped early count with the best that they had."
)


def knobs(known: StudyFacts) -> Section | None:
    """The most important knobs and in which direction they helped."""
    if not known.ranking:
        return None
    shares = [(name, share) for name, share in known.view.importances.items() if share >= _LEAST_SHARE]
    if not shares:
        count = len(known.ranking)
        text = f"Too few trials to tell: {count} have a score, and a knob must have been set in {LEAST_TRIALS} of them."
        return Section("What helped", [Text(text)])
    utility = {record.number: record.utility for record in known.ranking}
    rows = [
        [name, f"{share:.0%}", _direction(known.view.knobs[name], utility)] for name, share in shares[:_MOST]
    ]
    blocks: list[Block] = [
        Text(f"Share of the importance of all knobs by {METHOD}, over {len(known.ranking):,} trials."),
        Table(columns=["knob", "share", "what went well"], rows=rows, right=["share"]),
        Text(CAVEATS),
    ]
    blocks += known.plot("parallel-coordinates", "Values of the most important knobs in each trial")
    return Section("What helped", blocks)


def _direction(knob: ObservedKnob, utility: dict[int, float]) -> str:
    """Which values went with good scores, in a few words."""
    pairs = [(value, utility[number]) for number, value in knob.values.items() if number in utility]
    if knob.categorical:
        medians = {
            value: float(np.median([good for each, good in pairs if each == value]))
            for value in knob.distinct
        }
        ranked = sorted(medians, key=lambda value: -medians[value])
        return "best to worst by median: " + ", ".join(map(str, ranked))
    values, scores = zip(*pairs, strict=True)
    correlation = float(spearmanr(values, scores).statistic)
    best = sorted(pairs, key=lambda pair: -pair[1])[: max(3, len(pairs) // 10)]
    low, high = min(value for value, _ in best), max(value for value, _ in best)
    trend = "more is better" if correlation > 0.2 else "less is better" if correlation < -0.2 else "no trend"
    return f"{trend} (rank correlation {correlation:+.2f}); the best trials had {low:.3g} to {high:.3g}"
