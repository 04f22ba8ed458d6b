"""Selection: the ensemble that a strategy makes of a library, calibrated."""

from __future__ import annotations

from convscout.services.config.setting_types import AUTO
from convscout.services.ensembles.cross_validation import StrategyChoice, choose
from convscout.services.ensembles.ensemble import Ensemble, EnsembleMember, Score
from convscout.services.ensembles.library import Library, Weights, biases_of
from convscout.services.ensembles.temperature import fit_temperature, temper
from convscout.services.plugins import selectors


def select(library: Library, strategy: str) -> Ensemble:
    """The calibrated ensemble that ``strategy`` makes of ``library``, never worth less there than the best alone."""
    choice = choose(library) if strategy == AUTO else StrategyChoice(strategy=strategy, reason="")
    alone: Weights = {0: 1.0}
    found = library.best([alone, selectors.get(choice.strategy)(library)])
    answer = library.answer(found)
    temperature = fit_temperature(answer, library.labels)
    members = [
        EnsembleMember(
            number=library.candidates[index].number,
            weight=weight,
            temperature=library.candidates[index].temperature,
            network=library.candidates[index].network,
            view=library.candidates[index].view,
        )
        for index, weight in sorted(found.items(), key=lambda item: (-item[1], item[0]))
    ]
    return Ensemble(
        members=tuple(members),
        score=Score.of(temper(answer, temperature), library.labels),
        single=library.single,
        temperature=temperature,
        strategy=choice.strategy,
        reason=choice.reason,
        biases=biases_of(found),
        unseen=choice.unseen,
    )
