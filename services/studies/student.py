"""Students: the small network that is to learn from an ensemble."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Self

from convscout.search_space.architecture import families
from convscout.search_space.complexity_meter import measure
from convscout.search_space.errors import UnbuildableError, UserError
from convscout.search_space.recipe import TrainingRecipe
from convscout.search_space.space import Candidate, SearchSpace
from convscout.services.config.setting_types import AUTO
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.samplers.random_candidates import random_candidates

SAMPLED = 200  # random networks that are looked at where the study trained none that is small enough


@dataclass(frozen=True, kw_only=True)
class Student:
    """A ``candidate`` of so many ``params``, and the number of the ``trial`` whose network it has, if it is one's."""

    candidate: Candidate
    params: int
    trial: int | None = None

    def trained_by(self, recipe: TrainingRecipe) -> Self:
        """The same network, trained in another way."""
        return replace(self, candidate=(self.candidate[0], recipe))


def choose_student(
    scored: Sequence[TrialRecord], space: SearchSpace, family: str, most_params: int
) -> Student:
    """Of the ``scored`` trials, best first, the first of ``family`` that has at most so many parameters.

    ``auto`` stands for any family. Where there is none, the largest of the proven and of random candidates of
    ``space``. Whichever it is, it is trained by the recipe of the best trial of all, as a small one may have had a
    poor one. Raises ``UnknownNameError`` for a family that there is not, and ``UserError`` when all are larger.
    """
    if family != AUTO:
        space = _of_family(space, families.get(family).name)
    seen: list[Student] = []
    best = scored[0].config
    assert best is not None, "it was judged"
    for student in _trained_students(scored, space.families):
        if student.params <= most_params:
            return student.trained_by(best.recipe)
        seen.append(student)
    seen += _sample_students(space)
    small = [student for student in seen if student.params <= most_params]
    if not small:
        least = (
            f"the smallest has {min(student.params for student in seen):,}" if seen else "none can be built"
        )
        raise UserError(
            f"no network of {', '.join(space.families)} has at most {most_params:,} parameters: {least}; "
            "raise --max-params, or choose another --student"
        )
    return max(small, key=lambda student: student.params).trained_by(best.recipe)


def _of_family(space: SearchSpace, family: str) -> SearchSpace:
    """``space`` without its other families and what it says of them."""
    others = tuple(f"{name}." for name in space.families if name != family)
    overrides = {key: value for key, value in space.overrides.items() if not key.startswith(others)}
    return replace(space, families=(family,), overrides=overrides)


def _trained_students(scored: Sequence[TrialRecord], names: Sequence[str]) -> Iterator[Student]:
    for record in scored:
        assert record.config is not None and record.complexity is not None
        if record.family in names:
            yield Student(
                candidate=(record.config.architecture, record.config.recipe),
                params=record.complexity.params,
                trial=record.number,
            )


def _sample_students(space: SearchSpace) -> Iterator[Student]:
    for candidate in [*space.portfolio(), *random_candidates(space, SAMPLED)]:
        with suppress(UnbuildableError):
            params = measure(*candidate, space.image).params
            yield Student(candidate=candidate, params=params)
