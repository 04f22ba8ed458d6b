"""The knobs of trials that were trained: their values, and how much each mattered."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from convscout.search_space.knobs import Scalar
from convscout.search_space.recipe import REGISTRIES
from convscout.services.ledger.trial_record import TrialRecord
from convscout.trials.config import TrialConfig

LEAST_TRIALS = 10
METHOD = "conditional PED-ANOVA"
_BEST_SHARE, _LEAST_BEST = 0.1, 5  # trials that count as good: fewer than five say little (Optuna's advice)


@dataclass(frozen=True, kw_only=True)
class ObservedKnob:
    """The ``values`` of one knob by trial number; a trial that the knob meant nothing to has none.

    ``scale`` is that of ``convscout.search_space.knobs.Knob``: "linear", "logarithmic" or "categorical".
    """

    name: str
    values: dict[int, Any]
    scale: str

    @property
    def categorical(self) -> bool:
        """Whether the values are names, or a few numbers that were chosen from like names."""
        return self.scale == "categorical"

    @property
    def log(self) -> bool:
        """Whether ratios count, not differences."""
        return self.scale == "logarithmic" and self.distinct[0] > 0

    @property
    def distinct(self) -> list[Any]:
        """The different values, in their order."""
        return sorted(set(self.values.values()), key=lambda v: (isinstance(v, str), v is not None, v or 0))

    def distribution(self) -> BaseDistribution:
        """What the values were drawn from, as far as they tell."""
        values = self.distinct
        if self.categorical:
            return CategoricalDistribution(values)
        kind = IntDistribution if all(isinstance(value, int) for value in values) else FloatDistribution
        return kind(values[0], values[-1], log=self.log)


def observed_knobs(records: Sequence[TrialRecord]) -> dict[str, ObservedKnob]:
    """The knobs, by full name, that had at least two values in ``records``."""
    values: dict[str, dict[int, Scalar]] = {}
    scales: dict[str, str] = {}
    for record in records:
        assert record.config is not None
        for name, value, scale in _settings(record.config):
            values.setdefault(name, {})[record.number] = value
            scales[name] = scale
    knobs = [ObservedKnob(name=name, values=of, scale=scales[name]) for name, of in values.items()]
    return {knob.name: knob for knob in knobs if len(set(knob.values.values())) > 1}


def importances(scored: Sequence[TrialRecord], knobs: Mapping[str, ObservedKnob]) -> dict[str, float]:
    """How much each of ``knobs`` matters to being among the best tenth of ``scored``; the largest first, sum 1.

    By conditional PED-ANOVA (Watanabe et al., 2023; for conditional spaces 2026), as Optuna has it, because
    it knows knobs that only some trials have and does not mind that weak trials were stopped early. A knob
    that fewer than ``LEAST_TRIALS`` have is left out, so the result may be empty.
    """
    knobs = {name: knob for name, knob in knobs.items() if len(knob.values) >= LEAST_TRIALS}
    if not knobs:
        return {}
    from optuna.importance import PedAnovaImportanceEvaluator  # with scikit-learn, which takes a second

    best_share = max(_BEST_SHARE, _LEAST_BEST / len(scored))
    evaluator = PedAnovaImportanceEvaluator(target_quantile=best_share)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # knobs that all trials but one have, trials all alike
        found = evaluator.evaluate(_as_study(scored, knobs))
    total = sum(found.values())
    if total <= 0:
        return {}
    ranked = sorted(found.items(), key=lambda item: -item[1])
    return {name: value / total for name, value in ranked}


def _settings(config: TrialConfig) -> Iterator[tuple[str, Scalar, str]]:
    """Name, value and scale of each knob that mattered to the trial."""
    yield "family", config.architecture.name, "categorical"
    parts = {part: getattr(config.recipe, part) for part in REGISTRIES}
    for part, chosen in parts.items():
        yield f"recipe.{part}", chosen.name, "categorical"
    for each in (config.architecture, config.recipe, *parts.values()):
        for field, knob in each.knobs().items():
            if knob.active(vars(each)):
                yield f"{each.name}.{field}", getattr(each, field), knob.scale


def _as_study(records: Sequence[TrialRecord], knobs: Mapping[str, ObservedKnob]) -> optuna.Study:
    """``records`` as Optuna's importance evaluators want them."""
    distributions = {name: knob.distribution() for name, knob in knobs.items()}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for record in records:
        of_trial = [name for name, knob in knobs.items() if record.number in knob.values]
        study.add_trial(
            optuna.trial.create_trial(
                params={name: knobs[name].values[record.number] for name in of_trial},
                distributions={name: distributions[name] for name in of_trial},
                value=record.utility,
            )
        )
    return study
