"""A search of which nothing is trained: tests play its workers."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from convscout.search_space.architecture import ImageSpec
from convscout.search_space.space import SearchSpace
from convscout.services.config.home import Home
from convscout.services.events.events import Event
from convscout.services.ledger.ledger import Ledger
from convscout.services.search.budget import Budget
from convscout.services.search.controller import Search
from convscout.services.search.setting import SearchSetting
from convscout.trials.config import Measurement, TrialResult
from convscout.trials.end_reason import EndReason
from tests.support.records import measurement
from tests.support.studies import tiny_config

EPOCHS = 8
SPACE = SearchSpace(
    image=ImageSpec(in_channels=1, image_size=8, num_classes=10), families=("lenet",), epochs=EPOCHS
)


class UntrainedStudy:
    """A study of ``space`` with ten minutes to go, and what its search told."""

    def __init__(self, root: Path, space: SearchSpace = SPACE, **options: Any) -> None:
        self.events: list[Event] = []
        config = tiny_config(**{"trials": 5, **options})
        self.ledger = Ledger.create(Home(root), config, fingerprint="f" * 64)
        self._setting = SearchSetting(
            space=space,
            budget=Budget(started_s=time.time(), time_s=600.0, trials=config.trials),
            fingerprint="f" * 64,
            num_training=1000,
            num_validation=100,
            num_test=0,
            gpu_share=0.0,
            device="cpu",
        )
        self.begin()

    def begin(self, **changed: Any) -> None:
        """Go on as a new process would, with a setting of which some is ``changed``."""
        self.search = Search(
            self.ledger,
            replace(self._setting, **changed),
            listener=self.events.append,
            touch=lambda number: None,
            interrupted=lambda: False,
        )
        self.search.prepare()

    def begin_one(self) -> int:
        """Let a worker have the next trial; returns its number."""
        dispatch = self.search.next_dispatch()
        assert dispatch
        return dispatch.config.number

    def report(self, number: int, *measurements: Measurement) -> None:
        """Tell epochs of a running trial."""
        for each in measurements:
            self.search.on_epoch(number, 1, each)

    def end(self, number: int, code: EndReason, error: str = "") -> None:
        """Tell how a running trial ended."""
        self.search.on_end(TrialResult(number=number, attempt=1, code=code, error=error))

    def complete_one(self) -> None:
        """Train the next trial to its end."""
        dispatch = self.search.next_dispatch()
        assert dispatch
        number, epochs = dispatch.config.number, dispatch.config.recipe.epochs
        self.report(number, *(measurement(epoch) for epoch in range(1, epochs + 1)))
        self.end(number, EndReason.COMPLETED)
