"""Every way in which the search lets a trial end gives it the code of that way, and a sentence."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convscout.search_space.errors import NoModelError
from convscout.services.events.events import Notice
from convscout.services.ledger.ledger import Proposal
from convscout.services.search.admission import Admission, TooLargeError
from convscout.services.search.command_queue import STOP_TRIAL, Command, CommandQueue
from convscout.services.search.controller import MAX_TOO_LARGE, MAX_WORKER_FAILURES
from convscout.trials.config import TrialState
from convscout.trials.end_reason import EndReason
from tests.support.records import measurement
from tests.support.untrained_study import SPACE, UntrainedStudy

_PARTS = {"recipe.optimizer": "sgd", "recipe.augmentation": "none", "recipe.distortion": "none"}
_KNOBS = replace(SPACE, overrides=_PARTS).knobs()
_PINNED = {name: knob.default for name, knob in _KNOBS.items()} | _PARTS
TWO_NETWORKS = replace(SPACE, overrides=_PINNED | {"lenet.width": {"choices": [4, 5]}})


def complete(study: UntrainedStudy) -> None:
    study.complete_one()


def end_with_the_time(study: UntrainedStudy) -> None:
    number = study.begin_one()
    study.report(number, replace(measurement(1), share=0.5, last=True))
    study.end(number, EndReason.COMPLETED)


def fall_behind(study: UntrainedStudy) -> None:
    for _ in range(5):
        study.complete_one()
    number = study.begin_one()
    next(epoch for epoch in range(1, 8) if not study.search.on_epoch(number, 1, measurement(epoch, 0.1)))


def be_slow(study: UntrainedStudy) -> None:
    study.complete_one()
    study.search.on_estimate(study.begin_one(), 1, 400.0)


def be_stopped(study: UntrainedStudy) -> None:
    number = study.begin_one()
    CommandQueue(study.ledger.ref).put(Command(kind=STOP_TRIAL, content={"number": number}))
    study.report(number, measurement(1))


def be_broken_off(study: UntrainedStudy) -> None:
    study.report(study.begin_one(), measurement(1), measurement(2))
    study.search.close()


def lose_workers(study: UntrainedStudy) -> None:
    for attempt in range(1, MAX_WORKER_FAILURES + 1):
        study.search.on_lost(study.begin_one(), attempt, "its worker process died")
    study.search.next_dispatch()


def see_other_images(study: UntrainedStudy) -> None:
    study.begin_one()
    study.begin(fingerprint="e" * 64)
    study.search.next_dispatch()


def be_refused(study: UntrainedStudy) -> None:
    with suppress(NoModelError):
        study.search.next_dispatch()


def repeat(study: UntrainedStudy) -> None:
    study.complete_one()
    study.complete_one()
    be_refused(study)


def fail(code: EndReason) -> Callable[[UntrainedStudy], None]:
    def failing(study: UntrainedStudy) -> None:
        study.end(study.begin_one(), code, "it failed")

    return failing


WAYS: list[tuple[EndReason, Callable[[UntrainedStudy], None], dict[str, Any]]] = [
    (EndReason.COMPLETED, complete, {}),
    (EndReason.SHORTENED, end_with_the_time, {}),
    (EndReason.PRUNED, fall_behind, {"pruner": "median", "trials": 9, "fair": "none"}),
    (EndReason.FORECAST, be_slow, {}),
    (EndReason.BY_HAND, be_stopped, {}),
    (EndReason.OUT_OF_TIME, be_broken_off, {}),
    (EndReason.BUDGET_SPENT, be_broken_off, {"epochs_total": 2}),
    (EndReason.TARGET_REACHED, be_broken_off, {"target_accuracy": 0.4}),
    (EndReason.DIVERGED, fail(EndReason.DIVERGED), {}),
    (EndReason.OUT_OF_MEMORY, fail(EndReason.OUT_OF_MEMORY), {}),
    (EndReason.ERROR, fail(EndReason.ERROR), {}),
    (EndReason.WORKER_LOST, lose_workers, {}),
    (EndReason.DATA_CHANGED, see_other_images, {}),
    (EndReason.LIMIT_EXCEEDED, be_refused, {"max_params": 1}),
    (EndReason.TOO_LONG, be_refused, {"epochs_total": 1}),
    (EndReason.NO_ROOM, be_refused, {"disk": "1.1MB"}),
    (EndReason.DUPLICATE, repeat, {"space": TWO_NETWORKS}),
    (EndReason.UNBUILDABLE, be_refused, {"space": replace(SPACE, image=replace(SPACE.image, image_size=1))}),
]


@pytest.mark.parametrize(("code", "end", "options"), WAYS, ids=[str(code) for code, *_ in WAYS])
def test_a_way_to_end_has_its_code(
    code: EndReason,
    end: Callable[[UntrainedStudy], None],
    options: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("convscout.services.search.controller.MAX_REJECTIONS", 2)
    study = UntrainedStudy(tmp_path, **options)
    end(study)
    [ended, *_] = [record for record in study.ledger.trials() if record.reason_code is code]
    assert ended.state is TrialState.after(code)
    assert ended.reason and ended.to_dict()["reason_code"] == code


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epochs_total": 9}, "no room for another full trial in the epochs left"),
        ({"disk": "1.1MB"}, "what checkpoints may take on disk is used up; no more trials are begun"),
    ],
)
def test_that_nothing_fits_any_more_is_said_once(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    study = UntrainedStudy(tmp_path, **options)
    with suppress(NoModelError):
        while dispatch := study.search.next_dispatch():
            number, epochs = dispatch.config.number, dispatch.config.recipe.epochs
            study.report(number, *(measurement(epoch) for epoch in range(1, epochs + 1)))
            study.end(number, EndReason.COMPLETED)
    study.search.next_dispatch()
    assert [event.text for event in study.events if isinstance(event, Notice)] == [said]


def test_nothing_is_proposed_while_running_trials_have_been_promised_all_epochs(tmp_path: Path) -> None:
    study = UntrainedStudy(tmp_path, epochs_total=9)
    number = study.begin_one()
    assert study.search.next_dispatch() is study.search.next_dispatch() is None
    assert [record.number for record in study.ledger.trials()] == [number]
    study.end(number, EndReason.DIVERGED)
    assert study.begin_one() != number, "what it did not train is free again"


def test_that_the_time_has_no_room_for_another_trial_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Admission, proposal: Proposal, *, alone: bool, scout: bool) -> Proposal:
        raise TooLargeError(EndReason.TOO_SLOW)

    study = UntrainedStudy(tmp_path)
    study.complete_one()
    monkeypatch.setattr(Admission, "fit", refuse)
    assert study.search.next_dispatch() is study.search.next_dispatch() is None
    [said] = [event.text for event in study.events if isinstance(event, Notice)]
    assert said == "no room for another full trial in the time left"
    unfit = [record for record in study.ledger.trials() if record.did_not_fit]
    assert len(unfit) == MAX_TOO_LARGE, "more are not tried"


def test_every_code_that_is_given_leads_to_a_final_state() -> None:
    given = set(EndReason) - {EndReason.UNKNOWN}
    assert TrialState.RUNNING not in {TrialState.after(code) for code in given}


def test_a_code_of_a_newer_version_is_read_as_unknown() -> None:
    assert EndReason("of a newer version") is EndReason.UNKNOWN


def test_a_space_of_one_network_ends_when_that_was_trained(tmp_path: Path) -> None:
    study = UntrainedStudy(tmp_path, replace(SPACE, overrides=_PINNED), repeats=2)
    study.complete_one()
    study.complete_one()
    assert study.search.next_dispatch() is None
    assert [record.state for record in study.ledger.trials()] == [TrialState.COMPLETED] * 2
    [said] = [event.text for event in study.events if isinstance(event, Notice)]
    assert said == "every knob is fixed, and the one network that this leaves was trained"
