"""What charts are drawn from: nothing is invented, and of many trials the important ones are kept."""

from __future__ import annotations

import json

import pytest

from convscout.services.control.study_reader import StudySnapshot
from convscout.services.ledger.end_reasons import group_reasons
from convscout.services.server.pages import charts
from convscout.services.server.pages.charts import COSTS, Charts, chart_data, family_rows
from convscout.trials.config import TrialState
from convscout.trials.end_reason import EndReason
from tests.support.records import record

ENDED = [
    record(
        0,
        0.2,
        0.5,
        state=TrialState.COMPLETED,
        reason="trained all its epochs",
        reason_code=EndReason.COMPLETED,
    ),
    record(
        1,
        0.1,
        state=TrialState.STOPPED,
        family="resnet",
        reason="median at epoch 1",
        reason_code=EndReason.PRUNED,
    ),
    record(2, 0.3, 0.4, state=TrialState.STOPPED, reason="median at epoch 2", reason_code=EndReason.PRUNED),
    record(
        3,
        state=TrialState.FAILED,
        family="nin",
        reason="the loss became nan",
        reason_code=EndReason.DIVERGED,
    ),
]


def test_curves_and_costs_of_few_trials_are_all_there() -> None:
    data = chart_data(StudySnapshot(ENDED))
    assert [each["trial"] for each in data["curves"]["trials"]] == [0, 1, 2]
    assert data["curves"]["trials"][0]["scores"] == [0.2, 0.5]
    assert [each["state"] for each in data["curves"]["trials"]] == ["completed", "stopped", "stopped"]
    assert {each["trial"]: each["params"] for each in data["costs"]["points"]} == dict.fromkeys(
        range(3), 61_706
    )
    assert data["costs"]["fronts"]["params"] == [0]
    assert data["costs"]["fronts"]["training_s"] == [1, 0]  # the cheapest, and the best
    assert data["families"] == ["lenet", "resnet", "nin"]
    json.dumps(data, allow_nan=False)


def test_what_is_no_number_is_left_out_of_json() -> None:
    data = chart_data(StudySnapshot([record(0, float("nan"), state=TrialState.COMPLETED)]))
    assert data["curves"]["trials"][0]["scores"] == [None]
    json.dumps(data, allow_nan=False)


def test_of_many_trials_the_best_and_the_front_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "MOST_CURVES", 20)
    monkeypatch.setattr(charts, "BEST_CURVES", 10)
    many = [record(each, each / 200, state=TrialState.COMPLETED) for each in range(100)]
    found = chart_data(StudySnapshot(many))["curves"]
    shown = [each["trial"] for each in found["trials"]]
    assert found["total"] == 100 and len(shown) <= 20
    assert set(range(90, 100)) <= set(shown) and min(shown) < 20


def test_a_study_without_trials_has_empty_charts() -> None:
    data = chart_data(StudySnapshot([]))
    assert (
        data["curves"]["trials"] == data["costs"]["points"] == data["timeline"]["bars"] == data["best"] == []
    )
    assert all(data["costs"]["fronts"][cost] == [] for cost in COSTS)


def test_families_are_counted_the_best_first() -> None:
    rows = family_rows(StudySnapshot(ENDED))
    assert [(row["family"], row["trials"], row["stopped"], row["trial"]) for row in rows] == [
        ("lenet", 2, 1, 0),
        ("resnet", 1, 1, 1),
        ("nin", 1, 0, None),
    ]


def test_trials_that_ended_for_one_reason_are_counted_together() -> None:
    groups = group_reasons(ENDED)
    assert [(group.count, group.state, group.text) for group in groups] == [
        (2, "stopped", "pruned (the latest: median at epoch 2)"),
        (1, "completed", "trained all its epochs"),
        (1, "failed", "the loss became nan"),
    ]
    assert [each.number for each in groups[0].examples] == [2, 1]


def test_candidates_that_did_not_fit_are_the_last_reason() -> None:
    unfit = [record(n, state=TrialState.REJECTED, reason_code=EndReason.TOO_SLOW) for n in range(9)]
    assert [group.count for group in group_reasons([*unfit, *ENDED])] == [2, 1, 1, 9]


def test_trials_that_an_older_version_ended_are_counted_by_their_sentences() -> None:
    old = [record(number, state=TrialState.STOPPED, reason=text) for number, text in enumerate("aab")]
    assert [(group.count, group.text) for group in group_reasons([*old, record(3)])] == [(2, "a"), (1, "b")]


def test_data_of_a_snapshot_is_made_once() -> None:
    made, snapshot = Charts(), StudySnapshot(ENDED)
    assert made.of(snapshot) is made.of(snapshot)
    assert made.of(StudySnapshot(ENDED)) is not made.of(snapshot)
