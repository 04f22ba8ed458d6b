"""Importances: how much each knob of a study mattered, told anew only when there is enough that is new."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from convscout.services.plotting.view import StudyView

_MORE = 1.05  # times the judged trials: so many more do not change what mattered


class ImportanceCache:
    """Those of one study. With thousands of trials they take seconds, for which all who ask at once wait together."""

    def __init__(self) -> None:
        self._of: Mapping[str, float] = {}
        self._judged = 0  # trials that they are of
        self._one_at_a_time = threading.Lock()

    def of(self, view: StudyView) -> Mapping[str, float]:
        """The share of each knob, the most important first; nothing while there are too few trials to tell.

        They are of the first ``view`` with as many judged trials, or a few percent fewer.
        """
        with self._one_at_a_time:
            scored = len(view.scored)
            if not self._judged <= scored <= self._judged * _MORE:
                self._of, self._judged = view.importances, scored
            return self._of
