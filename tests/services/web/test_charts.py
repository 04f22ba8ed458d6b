"""What charts are drawn from: nothing is invented, and of many trials the important ones are kept."""

from __future__ import annotations

import json

import pytest

from services.control.reader import StudySnapshot
from services.reasons import grouped_reasons
from services.web import charts
from services.web.charts import COSTS, Charts, chart_data, family_rows
from tests.services.records import record
from trials.config import TrialState

ENDED = [
    record(0, 0.2, 0.5, state=TrialState.COMPLETED, family="lenet", reason="trained all its epochs"),
    record(1, 0.1, state=TrialState.STOPPED, family="resnet", reason="median at epoch 1"),
    record(2, 0.3, 0.4, state=TrialState.STOPPED, family="lenet", reason="median at epoch 2"),
    record(3, state=TrialState.FAILED, family="nin", reason="the loss became nan"),
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


def test_reasons_that_differ_in_numbers_are_counted_together() -> None:
    groups = grouped_reasons(ENDED)
    assert [(group.count, group.state, group.reason) for group in groups] == [
        (2, "stopped", "median at epoch …"),
        (1, "completed", "trained all its epochs"),
        (1, "failed", "the loss became nan"),
    ]
    assert [each.number for each in groups[0].examples] == [2, 1]


def test_data_of_a_snapshot_is_made_once() -> None:
    made, snapshot = Charts(), StudySnapshot(ENDED)
    assert made.of(snapshot) is made.of(snapshot)
    assert made.of(StudySnapshot(ENDED)) is not made.of(snapshot)
