"""Phases: dozens of short trials, the scouts, tell which networks are worth all of the time, the contenders.

It is successive halving with one rung (Jamieson and Talwalkar, 2016, "Non-stochastic best arm identification and
hyperparameter optimization", section 3), except that a contender begins anew, on all images, in the size that was
proposed and with a schedule of its own. Which phase it is follows from the ledger alone, so that a search that was
killed at any moment goes on in it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from convscout.search_space.errors import ConfigError, Problem
from convscout.services.config.study_config import StudyConfig
from convscout.services.config.units import format_clock
from convscout.services.ledger.trial_record import TrialRecord

# For fewer, the proven networks, each trained in full, are a better choice than what scouts can tell (docs/results.md).
FEWEST_FULL_TRIALS = 12
SCOUT_TIME = 1 / 3  # of the training time, for scouts
MOST_SCOUT_TIME = 2 / 3  # where a person says how many there are to be
MOST_SCOUTS = 400
FEWER_IMAGES = 8  # times fewer than a contender does a scout see, all its epochs together
SMALLER = 2  # times smaller is the network of a scout, where a contender is as large as proven
REDUCTION = FEWER_IMAGES * SMALLER  # of the time
FEWEST_IMAGES = 4_000  # that a scout trains on, if there are as many
LEAST_SHARE = 1 / 4  # of the images
LEAST_EPOCHS = 2  # with one there is no curve
# Times its time, after which the schedule of a scout ends; and seconds, as the first of a worker has to wait for it.
SLACK, LEAST_SCOUT_S = 2.0, 10.0


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """How thoroughly a trial is trained: for so many ``epochs``, on that ``share`` of the images, in (0, 1]."""

    epochs: int
    share: float

    @classmethod
    def of_scouts(cls, full_epochs: int, num_images: int) -> Fidelity:
        """That of the scouts of trials that train ``full_epochs`` on ``num_images`` images."""
        share = min(1.0, max(LEAST_SHARE, FEWEST_IMAGES / num_images))
        epochs = round(full_epochs / (FEWER_IMAGES * share))
        return cls(epochs=min(full_epochs, max(LEAST_EPOCHS, epochs)), share=share)


@dataclass(frozen=True, kw_only=True)
class PhasePlan:
    """How a search shares its time among scouts and contenders.

    It trains ``scouts`` at most, which a person may have ``chosen``, and no more once they have trained for
    ``scouts_s`` seconds together. One is made to take ``scout_s``. There are ``contenders`` at most.
    """

    scouts: int = 0
    chosen: bool = False
    scouts_s: float = math.inf
    scout_s: float = math.inf
    fidelity: Fidelity | None = None
    contenders: float = math.inf

    @property
    def scouts_share(self) -> float:
        """Of the training images, that a scout sees."""
        return self.fidelity.share if self.fidelity else 1.0

    @classmethod
    def of(
        cls,
        config: StudyConfig,
        *,
        num_images: int,
        full_trials: float,
        training_s: float,
        begun: bool = False,
    ) -> PhasePlan:
        """That of a study in which ``full_trials`` would take ``training_s`` seconds together, on all workers.

        Where scouts have ``begun`` before, contenders grow from them in any case.
        """
        contenders = math.inf if config.contenders is None else config.contenders
        if not (begun or has_scouts(config, full_trials)):
            return cls(contenders=contenders)
        assert config.epochs is not None, "decided when the study began"
        share = SCOUT_TIME if config.scouts is None else MOST_SCOUT_TIME
        timed = math.isfinite(full_trials)
        most = min(MOST_SCOUTS, REDUCTION * full_trials)  # cheap ones, where the sampler prefers them
        return cls(
            scouts=max(1, round(most)) if config.scouts is None else config.scouts,
            chosen=config.scouts is not None,
            scouts_s=share * training_s if timed else math.inf,
            scout_s=training_s / full_trials / REDUCTION if timed else math.inf,
            fidelity=Fidelity.of_scouts(config.epochs, num_images),
            contenders=contenders,
        )

    def describe(self, workers: int) -> str:
        """The plan for a person; empty where it is nothing out of the ordinary."""
        if self.fidelity is None:
            return ""
        count = _count(self.scouts, "scout") if self.chosen else "scouts"
        until = f" for {format_clock(self.scouts_s / workers)}" if math.isfinite(self.scouts_s) else ""
        most = "the best of them" if math.isinf(self.contenders) else _count(self.contenders, "contender")
        images = "" if self.fidelity.share == 1 else f" on {self.fidelity.share:.0%} of the images"
        return (
            f"{count}{until}, of {self.fidelity.epochs} epochs{images}; then {most}, trained in full "
            f"(others with --scouts and --contenders)"
        )


def has_scouts(config: StudyConfig, full_trials: float) -> bool:
    """Whether a search with time for so many ``full_trials`` begins with scouts.

    Not by itself where trials, epochs or GPU time are counted, too: scouts would use them up.
    """
    if config.scouts is not None:
        return config.scouts > 0
    counted = any(each is not None for each in (config.trials, config.epochs_total, config.gpu_hours))
    return not counted and FEWEST_FULL_TRIALS <= full_trials < math.inf


def check_phases(config: StudyConfig) -> None:
    """Raise ``ConfigError`` where there would be scouts alone."""
    if config.scouts and config.trials is not None and config.scouts >= config.trials:
        rule = f"must be below budget.trials, which is {config.trials:,}: a scout is a trial, and some are to grow"
        raise ConfigError([Problem(field="budget.scouts", value=config.scouts, rule=rule)])


def count_trials(config: StudyConfig, full_trials: float) -> float:
    """About how many trials a search proposes that has time for so many ``full_trials``."""
    return full_trials * (SCOUT_TIME * REDUCTION if has_scouts(config, full_trials) else 1)


class Phases:
    """Where a search stands in its ``plan``: ``count`` is told of each trial whenever it changes."""

    def __init__(self, plan: PhasePlan) -> None:
        self.plan = plan
        self._trained_s: dict[int, float] = {}  # of scouts
        self._contenders: set[int] = set()
        self._grown = False

    def count(self, record: TrialRecord) -> None:
        """Take into account how a trial stands; again whenever that changes."""
        if not record.trained:
            return
        if record.is_scout:
            self._trained_s[record.number] = record.training_s
        else:
            self._contenders.add(record.number)
            self._grown |= record.grown_from is not None

    @property
    def scouting(self) -> bool:
        """Whether what is proposed next is to be a scout.

        Once one has grown, there are more only where a person asked for them.
        """
        if self.plan.fidelity is None or (self._grown and not self.plan.chosen):
            return False
        return len(self._trained_s) < self.plan.scouts and self._scouts_s < self.plan.scouts_s

    @property
    def contenders_left(self) -> float:
        """How many more contenders there may be."""
        return self.plan.contenders - len(self._contenders)

    @property
    def _scouts_s(self) -> float:
        """Seconds that scouts have trained, together; those that have just begun count for what they will take."""
        expected_s = self.plan.scout_s if math.isfinite(self.plan.scout_s) else 0.0
        return sum(seconds or expected_s for seconds in self._trained_s.values())


def next_contender(
    records: Sequence[TrialRecord], grown: Collection[int], num_images: int
) -> TrialRecord | None:
    """The scout that is to grow into a contender next, None where none is left that has not ``grown`` yet.

    It is the best but for this: each contender of its family lowers what it is worth by a standard error of its
    accuracy on ``num_images`` validation images, as what scouts can hardly tell apart had better differ in kind.
    """
    kin = Counter(record.family for record in records if record.number in grown)
    left = [
        record
        for record in records
        if record.is_scout and record.state.scored and record.best and record.number not in grown
    ]
    if not left:
        return None
    leader = max(left, key=lambda record: record.utility)
    assert leader.best is not None
    accuracy = leader.best.val_accuracy
    error = math.sqrt(max(accuracy * (1 - accuracy), 1 / num_images) / num_images)
    return max(left, key=lambda record: (record.utility - kin[record.family] * error, -record.number))


def _count(number: float, noun: str) -> str:
    return f"{number:g} {noun}{'' if number == 1 else 's'}"
