"""Enumeration: every candidate of a finite search space, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from convscout.search_space.space import SearchSpace


def every(space: SearchSpace) -> Iterator[dict[str, object]]:
    """The sampled parameters, by full name, of every candidate of ``space``, in a fixed order.

    Raises ``ValueError`` when there is no end of them, which ``space.size()`` tells beforehand.
    """
    path: list[int] = []
    while True:
        walk = _Walk(path)
        space.suggest(walk)
        yield walk.parameters
        path = walk.taken
        while path and path[-1] == walk.widths[len(path) - 1] - 1:
            path.pop()
        if not path:
            return
        path[-1] += 1


class _Walk:
    """A suggester that goes down one path of the tree of choices: along ``path``, then always the first branch.

    Which knobs are asked for may depend on the answers before, so the tree is found by walking it.
    """

    def __init__(self, path: Sequence[int]) -> None:
        self._path = path
        self.taken: list[int] = []  # which branch, at each knob
        self.widths: list[int] = []  # of how many
        self.parameters: dict[str, object] = {}

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        value: int = self._branch(name, range(low, high + 1, step))
        return value

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        raise ValueError(f"{name} is continuous")

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._branch(name, choices)

    def _branch(self, name: str, values: Sequence[Any]) -> Any:
        if name not in self.parameters:  # two parts of a recipe may share a policy, and so its knobs
            depth = len(self.taken)
            self.taken.append(self._path[depth] if depth < len(self._path) else 0)
            self.widths.append(len(values))
            self.parameters[name] = values[self.taken[-1]]
        return self.parameters[name]
