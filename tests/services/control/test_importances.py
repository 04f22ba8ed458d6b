"""Importances are told anew when some percent more trials were judged, and of a study that began anew."""

from __future__ import annotations

from convscout.services.control.importances import ImportanceCache
from convscout.services.plotting.view import StudyView
from tests.support.sampled_trials import sampled_trials


def test_they_are_told_anew_once_there_is_enough_that_is_new() -> None:
    importances, trials = ImportanceCache(), sampled_trials(200)
    views = {count: StudyView(trials[:count]) for count in (100, 102, 150, 40)}
    first = importances.of(views[100])
    assert first == views[100].importances and first
    assert importances.of(views[102]) is first
    assert importances.of(views[150]) == views[150].importances != first
    assert importances.of(views[40]) == views[40].importances


def test_too_few_trials_tell_nothing() -> None:
    assert ImportanceCache().of(StudyView(sampled_trials(5))) == {}
