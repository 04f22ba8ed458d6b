"""Timetable: what is left of a study's time, and what of a candidate fits into it."""

from __future__ import annotations

import math

from convscout.search_space.complexity import Complexity
from convscout.services.config.study_config import StudyConfig
from convscout.services.search.auto_config import MARGIN, images_to_train, training_s
from convscout.services.search.budget import REFIT_SHARE, FinishCost
from convscout.services.search.phases import LEAST_SCOUT_S, SLACK, PhasePlan
from convscout.services.search.setting import SearchSetting
from convscout.trials.training.first_steps import JUDGING

FIRST_RUNG_SHARE = 4  # a trial is worth starting when a quarter of its epochs fit
LEAST_TRIAL_S = 2.0  # of a trial that is trained although the time is up, as there is no model yet
GRACE_SHARE, MOST_GRACE_S = 0.03, 60.0  # of the time; a trial is waited for so long beyond its own end


class Timetable:
    """That of one search, which says how many trials were ``scored`` so far: the more, the longer the end takes."""

    def __init__(self, config: StudyConfig, setting: SearchSetting) -> None:
        self.scored = 0
        self.change(config, setting)

    def change(self, config: StudyConfig, setting: SearchSetting) -> None:
        """From now on another time, or other settings, hold."""
        self._config, self._setting, self._runtime = config, setting, setting.runtime

    @property
    def finish_cost(self) -> FinishCost:
        """What follows the search will take, as far as the machine and the trials so far tell."""
        rate, speed = self._runtime.images_per_s or self._expected_rate, self._setting.speed
        rate = rate and rate / self._setting.threads
        cost = FinishCost(
            images=self._setting.num_test if rate else 0,
            validation=self._setting.num_validation if rate else 0,
            images_per_s=rate or 1.0,
        )
        return cost.on(speed) if speed else cost

    @property
    def reserve_s(self) -> float:
        """Seconds that are kept back for what follows the search."""
        members = min(self._config.ensemble_size, max(self._setting.workers, self.scored))
        time_s, refit_s = self._setting.budget.time_s, 0.0
        if self._config.refit and math.isfinite(time_s):
            members *= self._config.refit_seeds
            refit_s = REFIT_SHARE * time_s
        return self.finish_cost.reserve_s(members, time_s) + refit_s

    @property
    def left_s(self) -> float:
        """Seconds until the ensemble must be begun."""
        return self._setting.budget.left_s - self.reserve_s

    @property
    def trial_s(self) -> float:
        """Seconds that a trial may take that begins now: briefly where the time is up."""
        return max(LEAST_TRIAL_S, self.left_s)

    @property
    def plan(self) -> PhasePlan:
        """How the time is shared among scouts and contenders."""
        return self._setting.plan

    @property
    def longest_scout_s(self) -> float:
        """Seconds after which the schedule of a scout ends, which is made to take fewer."""
        return max(LEAST_SCOUT_S, SLACK * self._setting.plan.scout_s)

    def epoch_share(self, images_share: float) -> float:
        """What part of the time of an epoch one takes that trains on such a share of the images, and judges all."""
        judged = JUDGING * self._setting.num_validation / self._setting.num_training
        return (images_share + judged) / (1 + judged)

    @property
    def grace_s(self) -> float:
        """Seconds that a trial is waited for beyond the end that it was promised."""
        return min(MOST_GRACE_S, max(LEAST_TRIAL_S, GRACE_SHARE * self._setting.budget.time_s))

    def wanted_epochs(self, complexity: Complexity, epoch_s: float, most: int) -> float:
        """How many epochs such a network should train in the time left, at most ``most``; perhaps a part of one."""
        images = self._setting.num_training
        return min(most, images_to_train(images * self.trial_s / epoch_s, complexity.flops) / images)

    def promised_epochs(self, epoch_s: float) -> float:
        """How many epochs a trial is planned to train in the time left: a few more than are expected to fit.

        Its schedule ends with the time. Of one that is to repeat in all bits it goes by epochs alone.
        """
        return (1.0 if self._config.deterministic else MARGIN) * self.left_s / epoch_s

    def fits(self, epoch_s: float, epochs: float) -> bool:
        """Whether enough of ``epochs`` can be trained in the time left to begin with them; a part may be enough."""
        return self.left_s >= first_rung(epochs) * epoch_s

    @property
    def _expected_rate(self) -> float | None:
        """Images/s before any trial trained: what the machine reaches, or what a full trial needs to end in time."""
        known, setting = self._runtime.expected_images_per_s, self._setting
        if known is None or math.isinf(setting.budget.time_s):
            return known
        needed = setting.space.epochs * setting.num_training / training_s(setting.budget.time_s)
        return max(known, needed)


def first_rung(epochs: float) -> float:
    """Epochs that a trial of ``epochs`` must be able to train to be worth starting."""
    return epochs / FIRST_RUNG_SHARE
